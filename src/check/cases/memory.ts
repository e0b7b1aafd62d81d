// Memory tables, good and bad, the dirty log and the inflight area.

import { openSync, readSync } from "node:fs";
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
import { encodeMessage, FLAG_NEED_REPLY, MESSAGES, type MessageName, type Payload } from "../../vhost-user/message.js";
import type { CheckCase, Workbench } from "../case.js";
import type { CheckGuest } from "../guest.js";
import { OUTCOME_WORDS, type Outcome } from "../link.js";
import { memRegion, memTable, u64, vring, vringFd } from "../payloads.js";
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

/** Refused, or the connection closed. Without acknowledgements it may have been ignored, which nobody can see. */
function mustRefuse(outcome: Outcome): string {
  demand(["refused", "closed", "taken"].includes(outcome), OUTCOME_WORDS[outcome]);
  return OUTCOME_WORDS[outcome];
}

/** A memory file of 1 MiB, as `good` has it, that goes with the guest. */
function file(guest: CheckGuest): Fd {
  return guest.keep(createMemfd("check", 0x10_0000));
}

/** A table with these regions, each of a file of 1 MiB; `fds` as many descriptors as regions unless told. */
function badTable(id: string, title: string, clause: string, regions: MemoryRegion[], fds = regions.length): CheckCase {
  return {
    id,
    room,
    title: `SET_MEM_TABLE ${title} is refused`,
    clause,
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      const descriptors = Array.from({ length: fds }, () => file(guest));
      return mustRefuse(await guest.link.outcome("SET_MEM_TABLE", memTable(...regions), descriptors));
    },
  };
}

/** Sets up rings that lie there, as far as the back-end lets it. Returns what came. */
async function ringsAt(guest: CheckGuest, at: bigint, said: string): Promise<string> {
  const { link } = guest;
  const addresses = { desc: at, avail: at + PAGE, used: at + 2n * PAGE };
  for (const ring of guest.rings) {
    const { index, size, kick, call } = ring;
    const requests: [MessageName, Payload, Fd[]][] = [
      ["SET_VRING_NUM", vring(index, size), []],
      ["SET_VRING_BASE", vring(index, 0), []],
      ["SET_VRING_ADDR", guest.vringAddr(ring, addresses), []],
      ["SET_VRING_CALL", vringFd(index), [call]],
      ["SET_VRING_KICK", vringFd(index), [kick]],
      ["SET_VRING_ENABLE", vring(index, 1), []],
    ];
    for (const [name, payload, fds] of requests) {
      const outcome = await link.outcome(name, payload, fds);
      if (outcome === "closed" || outcome === "refused") return `${said}, then ${name}: ${OUTCOME_WORDS[outcome]}`;
    }
    ring.notify();
  }
  return said;
}

/** Frames between two guests, the first with memory of another kind. */
async function traffic(bench: Workbench, options: NonNullable<Parameters<Workbench["pair"]>[0]>): Promise<undefined> {
  const [a, b] = await bench.pair(options, options);
  await bench.passAll(a, b, LENGTHS);
  await bench.passAll(b, a, LENGTHS);
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
  badTable("M21a", "with a region of size 0", "a region of no bytes is none (DPDK 0fe99cf73e)", [
    { ...good, size: 0n },
  ]),
  badTable("M21b", "whose guest addresses overflow", "address + size must fit 64 bits (DPDK c6420a3632)", [
    { ...good, guestAddress: 2n ** 64n - PAGE },
  ]),
  badTable("M21c", "whose user addresses overflow", "address + size must fit 64 bits (DPDK c6420a3632)", [
    { ...good, userAddress: 2n ** 64n - PAGE },
  ]),
  badTable("M21d", "whose size and mmap offset overflow", "size + offset must fit 64 bits (DPDK c6420a3632)", [
    { ...good, size: 2n ** 64n - PAGE, mmapOffset: 2n * PAGE },
  ]),
  badTable("M22a", "with two descriptors for one region", `${REGIONS}; a descriptor for each region`, [good], 2),
  badTable("M22b", "without a descriptor", `${REGIONS}; a descriptor for each region`, [good], 0),
  badTable(
    "M22c",
    "with 9 regions",
    "vhost-user, SET_MEM_TABLE: at most 8 regions (VHOST_MEMORY_BASELINE_NREGIONS)",
    [
      ...Array.from({ length: 9 }, (_, i) => ({
        ...good,
        guestAddress: BigInt(i) * good.size,
        userAddress: good.userAddress + BigInt(i) * good.size,
      })),
    ],
    8,
  ),
  {
    id: "M22d",
    room,
    title: "SET_MEM_TABLE that lists 2 regions and has one is refused",
    clause: `${REGIONS}; the payload has as many as it says (DPDK 4d490c7ce3)`,
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      const flags = guest.link.acks ? FLAG_NEED_REPLY : 0;
      const bytes = encodeMessage(MESSAGES.SET_MEM_TABLE.number, flags, memTable(good));
      bytes[12] = 2;
      return mustRefuse(await guest.link.outcomeOf(bytes, [file(guest), file(guest)]));
    },
  },
  badTable("M23a", "with regions that overlap", "guest memory has one place for each address", [
    good,
    { ...good, guestAddress: good.guestAddress + PAGE, userAddress: good.userAddress + good.size },
  ]),
  {
    id: "M23b",
    room,
    title: "ADD_MEM_REG of a region that is there already is refused",
    clause: "guest memory has one place for each address; libvhost-user and rust-vmm refuse it",
    needs: SLOTS,
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated({ protocol: bits(PROTOCOL_F_CONFIGURE_MEM_SLOTS) });
      await guest.link.done("ADD_MEM_REG", memRegion(good), [file(guest)]);
      return mustRefuse(await guest.link.outcome("ADD_MEM_REG", memRegion(good), [file(guest)]));
    },
  },
  {
    id: "M23c",
    room,
    title: "REM_MEM_REG of a region that is not there is refused",
    clause: "vhost-user, REM_MEM_REG: removes the region that matches",
    needs: SLOTS,
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated({ protocol: bits(PROTOCOL_F_CONFIGURE_MEM_SLOTS) });
      return mustRefuse(await guest.link.outcome("REM_MEM_REG", memRegion(good)));
    },
  },
  {
    id: "M39",
    room,
    title: "a region that is larger than its file, with a ring behind the file's end",
    clause: "mmap(2): an access behind the end of the file is a SIGBUS; fstat first",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated({ ram: { bytes: 1 << 20 } });
      const region = { ...guest.files[0]!.region, size: 16n << 20n };
      const { link } = guest;
      const outcome = await link.outcome("SET_MEM_TABLE", memTable(region), [guest.files[0]!.fd]);
      if (outcome === "refused" || outcome === "closed") return OUTCOME_WORDS[outcome];
      const behind = region.userAddress + (8n << 20n);
      return ringsAt(guest, behind, OUTCOME_WORDS[outcome]);
    },
  },
  {
    id: "M40c",
    room,
    title: "SET_MEM_TABLE with /dev/null as the memory file is refused",
    clause: "robustness: descriptors are whatever the front-end sends",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      const fd = guest.keep(openSync("/dev/null", "r+"));
      return mustRefuse(await guest.link.outcome("SET_MEM_TABLE", memTable(good), [fd]));
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
      const log = b.keep(createMemfd("check-log", LOG_BYTES));
      await b.link.say("SET_LOG_BASE", { kind: "log", mmapSize: BigInt(LOG_BYTES), mmapOffset: 0n }, [log]);
      // Its reply is a u64; DPDK's is empty, which front-ends take.
      await b.link.next("the reply to SET_LOG_BASE");
      await b.link.done("SET_FEATURES", u64(b.features | bits(VHOST_F_LOG_ALL)));
      for (const ring of b.rings)
        await b.link.done("SET_VRING_ADDR", b.vringAddr(ring, { flags: 1, log: ring.place.used }));
      await b.link.settle();
      await bench.pass(a, b, frame(1, 2, 1000, 7));
      const bitmap = new Uint8Array(LOG_BYTES);
      readSync(log, bitmap, 0, LOG_BYTES, 0);
      const marked = (page: number) => ((bitmap[page >>> 3]! >>> (page & 7)) & 1) === 1;
      const used = Number(b.rings[0]!.place.used / PAGE);
      demand(marked(used), `page ${used} with the used ring is not marked`);
      const buffer = Number(b.lastReceived / PAGE);
      demand(marked(buffer), `page ${buffer} with the receive buffer is not marked`);
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
