// Memory tables, good and bad, the dirty log and the inflight area.

import { readSync } from "node:fs";
import { VHOST_F_LOG_ALL, VHOST_USER_F_PROTOCOL_FEATURES } from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import { createMemfd } from "../../sys/memfd.js";
import type { Fd, MemoryRegion } from "../../vhost-user/effects.js";
import {
  PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  PROTOCOL_F_INFLIGHT_SHMFD,
  PROTOCOL_F_LOG_SHMFD,
  PROTOCOL_F_REPLY_ACK,
} from "../../vhost-user/features.js";
import type { Payload } from "../../vhost-user/message.js";
import type { CheckCase, Workbench } from "../case.js";
import type { CheckGuest } from "../guest.js";
import { OUTCOME_WORDS, mustRefuse } from "../link.js";
import { memRegion, u64 } from "../payloads.js";
import { demand } from "../verdict.js";
import { frame } from "../frames.js";

const room = "memory";
const ACKS = { features: [VHOST_USER_F_PROTOCOL_FEATURES], protocol: [PROTOCOL_F_REPLY_ACK] };
const SLOTS = { ...ACKS, protocol: [PROTOCOL_F_REPLY_ACK, PROTOCOL_F_CONFIGURE_MEM_SLOTS] };
const PAGE = 4096n;
/** For 128 MiB of guest memory. */
const LOG_BYTES = 4096;
const LENGTHS = [60, 65, 128, 1000, 1514];

const good: MemoryRegion = {
  guestAddress: 0x10_0000n,
  size: 0x10_0000n,
  userAddress: 0x7f00_0000_0000n,
  mmapOffset: 0n,
};

/** A memory file of 1 MiB, as `good` has it, that goes with the guest. */
function file(guest: CheckGuest): Fd {
  return guest.keep(createMemfd("check", 0x10_0000));
}

/** Frames between two guests, the first with memory of another kind. */
async function traffic(bench: Workbench, options: NonNullable<Parameters<Workbench["pair"]>[0]>): Promise<undefined> {
  const [a, b] = await bench.pair(options, options);
  await bench.passAll(a, b, LENGTHS);
  await bench.passAll(b, a, LENGTHS);
}

/** Gives a log, and has everything logged that is written from now on. */
async function startLog(guest: CheckGuest): Promise<Fd> {
  const log = guest.keep(createMemfd("check-log", LOG_BYTES));
  await guest.link.say("SET_LOG_BASE", { kind: "log", mmapSize: BigInt(LOG_BYTES), mmapOffset: 0n }, [log]);
  // Its reply is a u64; DPDK's is empty, which front-ends take.
  await guest.link.next("the reply to SET_LOG_BASE");
  await guest.link.done("SET_FEATURES", u64(guest.features | bits(VHOST_F_LOG_ALL)));
  return log;
}

/** Which pages a log has marked by now. */
function readLog(log: Fd): (page: number) => boolean {
  const bitmap = new Uint8Array(LOG_BYTES);
  readSync(log, bitmap, 0, LOG_BYTES, 0);
  return (page) => ((bitmap[page >>> 3]! >>> (page & 7)) & 1) === 1;
}

const REGIONS = "vhost-user, Memory regions description: guest address, size, user address, mmap offset";

export const MEMORY_CASES: CheckCase[] = [
  {
    id: "F1",
    room,
    title: "guest memory is found behind an mmap offset",
    clause: REGIONS,
    sockets: 2,
    run: (bench) => traffic(bench, { ram: { mmapOffset: 0x20_0000 } }),
  },
  {
    id: "F1b",
    room,
    title: "buffers in a second region, of another file",
    clause: REGIONS,
    sockets: 2,
    run: (bench) => traffic(bench, { second: { guestAddress: 0x1_0000_0000n } }),
  },
  {
    id: "F44a",
    room,
    title: "memory is plugged and unplugged (SET_MEM_TABLE) under running rings",
    clause: "vhost-user, SET_MEM_TABLE: replaces the memory layout; QEMU sends it when memory is plugged",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      const more = b.addFile();
      for (let i = 0; i < 5; i++) {
        await b.giveMemory([...b.files, more]);
        await bench.pass(a, b, frame(1, 2, 200, 2 * i));
        await b.giveMemory();
        await bench.pass(a, b, frame(1, 2, 200, 2 * i + 1));
      }
    },
  },
  {
    id: "F44b",
    room,
    title: "memory that is added region by region (ADD_MEM_REG) carries traffic; an unused one can be removed",
    clause: "vhost-user, ADD_MEM_REG and REM_MEM_REG",
    needs: SLOTS,
    sockets: 2,
    run: async (bench) => {
      const protocol = bits(PROTOCOL_F_CONFIGURE_MEM_SLOTS);
      const b = await bench.started(1);
      const a = await bench.negotiated({ protocol, second: {} });
      for (const { region, fd } of a.files) await a.link.done("ADD_MEM_REG", memRegion(region), [fd]);
      await a.startRings();
      await bench.open(b, a);
      await bench.open(a, b);
      const region = { ...good, guestAddress: 0x8_0000_0000n };
      await a.link.done("ADD_MEM_REG", memRegion(region), [file(a)]);
      await bench.passAll(a, b, LENGTHS);
      await a.link.done("REM_MEM_REG", memRegion(region));
      await bench.passAll(a, b, LENGTHS);
    },
  },
  {
    id: "M3",
    room,
    title: "SET_LOG_BASE whose size and offset overflow is refused",
    clause: "vhost-user, Migration: the log lies in [offset, offset + size) of its file; CVE-2020-10722",
    needs: { ...ACKS, protocol: [PROTOCOL_F_LOG_SHMFD] },
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated({ protocol: bits(PROTOCOL_F_LOG_SHMFD) });
      const log: Payload = { kind: "log", mmapSize: 2n ** 64n - PAGE, mmapOffset: 2n * PAGE };
      return mustRefuse(await guest.link.outcome("SET_LOG_BASE", log, [file(guest)]));
    },
  },
  {
    id: "F2",
    room,
    title: "pages that are written are marked in the dirty log",
    clause: "vhost-user, Migration: the back-end marks every page that it writes",
    needs: { features: [VHOST_USER_F_PROTOCOL_FEATURES, VHOST_F_LOG_ALL], protocol: [PROTOCOL_F_LOG_SHMFD] },
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({}, { protocol: bits(PROTOCOL_F_LOG_SHMFD) });
      const log = await startLog(b);
      for (const ring of b.rings)
        await b.link.done("SET_VRING_ADDR", b.vringAddr(ring, { flags: 1, log: ring.place.used }));
      await b.link.settle();
      await bench.pass(a, b, frame(1, 2, 1000, 7));
      const marked = readLog(log);
      const used = Number(b.rings[0]!.place.used / PAGE);
      demand(marked(used), `page ${used} with the used ring is not marked`);
      const buffer = Number(b.lastReceived / PAGE);
      demand(marked(buffer), `page ${buffer} with the receive buffer is not marked`);
    },
  },
  {
    id: "M33",
    room,
    title: "a frame over 60 pages of one chain: each page is marked, and nothing behind the memory's end",
    clause: "CVE-2019-14835: a log of a chain's buffers that is shorter than chains can be",
    needs: { features: [VHOST_USER_F_PROTOCOL_FEATURES, VHOST_F_LOG_ALL], protocol: [PROTOCOL_F_LOG_SHMFD] },
    sockets: 2,
    run: async (bench) => {
      const a = await bench.started(0);
      const b = await bench.negotiated({ protocol: bits(PROTOCOL_F_LOG_SHMFD) }, 1);
      await b.giveMemory();
      const log = await startLog(b);
      const { driver, size } = b.rings[0]!;
      const pieces = Array.from({ length: Math.min(60, size) }, () => b.files[0]!.allocate(Number(PAGE), Number(PAGE)));
      driver.add(
        pieces.map((address) => ({ address, length: 26, writable: true })),
        pieces[0]!,
      );
      for (const ring of b.rings) await b.setUp(ring, { logged: true });
      await b.link.settle();
      await bench.open(b, a);
      const bytes = frame(1, 2, 1514, 1);
      await bench.until("no frame came into the chain", () => {
        a.send(bytes);
        return driver.take() !== null;
      });
      const marked = readLog(log);
      const silent = pieces.filter((address) => !marked(Number(address / PAGE)));
      const touched = Math.ceil((b.headerBytes + bytes.length) / 26);
      const missing = silent.filter((address) => pieces.indexOf(address) < touched);
      demand(missing.length === 0, `${missing.length} of ${touched} pages that were written are not marked`);
      const { guestAddress, size: memory } = b.files[0]!.region;
      const wrong = Array.from({ length: LOG_BYTES * 8 }, (_, page) => BigInt(page) * PAGE).filter(
        (at) => (at < guestAddress || at >= guestAddress + memory) && marked(Number(at / PAGE)),
      );
      demand(wrong.length === 0, `${wrong.length} pages are marked that the guest does not have`);
    },
  },
  {
    id: "M47",
    room,
    title: "LOG_ALL without a log does no harm to the traffic",
    clause: "vhost-user, Migration: SET_LOG_BASE comes first; refused or without effect",
    needs: { features: [VHOST_USER_F_PROTOCOL_FEATURES, VHOST_F_LOG_ALL] },
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      const outcome = await b.link.outcome("SET_FEATURES", u64(b.features | bits(VHOST_F_LOG_ALL)));
      if (outcome === "done" || outcome === "taken") await bench.passAll(a, b, LENGTHS);
      return OUTCOME_WORDS[outcome];
    },
  },
  {
    id: "M7",
    room,
    title: "GET_INFLIGHT_FD again and again collects no descriptors",
    clause: "vhost-user, Inflight I/O tracking; CVE-2020-10726",
    needs: { ...ACKS, protocol: [PROTOCOL_F_INFLIGHT_SHMFD] },
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated({ protocol: bits(PROTOCOL_F_INFLIGHT_SHMFD) });
      const inflight: Payload = {
        kind: "inflight",
        mmapSize: 0n,
        mmapOffset: 0n,
        queues: 2,
        queueSize: 256,
        padded: true,
      };
      await link.ask("GET_INFLIGHT_FD", inflight);
      const before = bench.sockets.descriptors();
      for (let i = 0; i < 100; i++) await link.ask("GET_INFLIGHT_FD", inflight);
      const after = bench.sockets.descriptors();
      if (before === undefined || after === undefined) return "the process's descriptors cannot be seen from here";
      demand(after - before <= 8, `${after - before} more descriptors are open`);
    },
  },
  {
    id: "M9",
    room,
    title: "SET_INFLIGHT_FD with more queues than its file has room for is refused",
    clause: "vhost-user, Inflight I/O tracking; CVE-2021-3839",
    needs: { ...ACKS, protocol: [PROTOCOL_F_INFLIGHT_SHMFD] },
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated({ protocol: bits(PROTOCOL_F_INFLIGHT_SHMFD) });
      const fields = { mmapSize: PAGE, mmapOffset: 0n, queues: 0xffff, queueSize: 0xffff, padded: true };
      const inflight: Payload = { kind: "inflight", ...fields };
      return mustRefuse(await guest.link.outcome("SET_INFLIGHT_FD", inflight, [file(guest)]));
    },
  },
];
