// Memory that is none: regions that overflow, overlap, or are larger than their file.

import { openSync } from "node:fs";
import { VHOST_USER_F_PROTOCOL_FEATURES } from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import { createMemfd } from "../../sys/memfd.js";
import type { Fd, MemoryRegion } from "../../vhost-user/effects.js";
import { PROTOCOL_F_CONFIGURE_MEM_SLOTS, PROTOCOL_F_REPLY_ACK } from "../../vhost-user/features.js";
import { encodeMessage, FLAG_NEED_REPLY, MESSAGES, type MessageName, type Payload } from "../../vhost-user/message.js";
import type { CheckCase } from "../case.js";
import type { CheckGuest } from "../guest.js";
import { OUTCOME_WORDS, mustRefuse } from "../link.js";
import { memRegion, memTable, vring, vringFd } from "../payloads.js";
import { demand } from "../verdict.js";

const room = "memory";
const ACKS = { features: [VHOST_USER_F_PROTOCOL_FEATURES], protocol: [PROTOCOL_F_REPLY_ACK] };
const SLOTS = { ...ACKS, protocol: [PROTOCOL_F_REPLY_ACK, PROTOCOL_F_CONFIGURE_MEM_SLOTS] };
const PAGE = 4096n;

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

const REGIONS = "vhost-user, Memory regions description: guest address, size, user address, mmap offset";

export const BAD_MEMORY_CASES: CheckCase[] = [
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
  {
    id: "M23a",
    room,
    title: "SET_MEM_TABLE with regions that overlap does no harm",
    // The specification does not forbid it. Who takes it has chosen which of them is meant.
    clause: `${REGIONS}; guest memory has one place for each address`,
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      const over = { ...good, guestAddress: good.guestAddress + PAGE, userAddress: good.userAddress + good.size };
      const outcome = await guest.link.outcome("SET_MEM_TABLE", memTable(good, over), [file(guest), file(guest)]);
      demand(outcome !== "silent", OUTCOME_WORDS[outcome]);
      return ringsAt(guest, over.userAddress, OUTCOME_WORDS[outcome]);
    },
  },
  {
    id: "M23b",
    room,
    title: "ADD_MEM_REG of guest addresses that are there already does no harm",
    // At another place of the front-end: the same region once more is what QEMU 7.2 sends for each further pair of queues.
    clause:
      "vhost-user, ADD_MEM_REG; guest memory has one place for each address, and which of two is meant is not said",
    needs: SLOTS,
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated({ protocol: bits(PROTOCOL_F_CONFIGURE_MEM_SLOTS) });
      await guest.link.done("ADD_MEM_REG", memRegion(good), [file(guest)]);
      const again = { ...good, userAddress: good.userAddress + good.size };
      const outcome = await guest.link.outcome("ADD_MEM_REG", memRegion(again), [file(guest)]);
      demand(outcome !== "silent", OUTCOME_WORDS[outcome]);
      return ringsAt(guest, again.userAddress, OUTCOME_WORDS[outcome]);
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
];
