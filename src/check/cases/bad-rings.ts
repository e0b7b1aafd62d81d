// Rings that are none: sizes, places and indices that no front-end should send.

import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTQ_DESC_F_NEXT,
} from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import { PROTOCOL_F_REPLY_ACK } from "../../vhost-user/features.js";
import type { MessageName, Payload, PayloadOf } from "../../vhost-user/message.js";
import type { Fd } from "../../vhost-user/effects.js";
import type { CheckCase } from "../case.js";
import type { CheckGuest } from "../guest.js";
import { OUTCOME_WORDS, type Outcome } from "../link.js";
import { vring, vringFd } from "../payloads.js";
import { demand } from "../verdict.js";

const room = "rings";
const PROTOCOL = { features: [VHOST_USER_F_PROTOCOL_FEATURES] };
const ACKS = { ...PROTOCOL, protocol: [PROTOCOL_F_REPLY_ACK] };

/** All requests of one ring, as far as they are taken. Returns what was said of the first one that was not. */
async function setUpBadly(
  guest: CheckGuest,
  { num, addr = {} }: { num?: number; addr?: Partial<PayloadOf<"vringAddr">> },
): Promise<{ outcome: Outcome; said: string }> {
  const [, ring] = guest.rings;
  const { index, size, kick, call } = ring!;
  const requests: [MessageName, Payload, Fd[]][] = [
    ["SET_VRING_NUM", vring(index, num ?? size), []],
    ["SET_VRING_BASE", vring(index, 0), []],
    ["SET_VRING_ADDR", guest.vringAddr(ring!, addr), []],
    ["SET_VRING_CALL", vringFd(index), [call]],
    ["SET_VRING_KICK", vringFd(index), [kick]],
    ["SET_VRING_ENABLE", vring(index, 1), []],
  ];
  let outcome: Outcome = "done";
  for (const [name, payload, fds] of requests) {
    outcome = await guest.link.outcome(name, payload, fds);
    if (outcome !== "done" && outcome !== "taken") return { outcome, said: `${name}: ${OUTCOME_WORDS[outcome]}` };
  }
  ring!.notify();
  return { outcome, said: "all of it was taken" };
}

function badSize(id: string, num: number, why: string): CheckCase {
  return {
    id,
    room,
    title: `a split ring of ${num} entries is refused`,
    clause: `virtio 1.3, 2.7: ${why}`,
    needs: ACKS,
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      await guest.giveMemory();
      const { outcome, said } = await setUpBadly(guest, { num });
      demand(outcome === "refused" || outcome === "closed", said);
      return said;
    },
  };
}

/** An address that no ring can have: refused at some request, or never started; harmless in any case. */
function badPlace(
  id: string,
  title: string,
  clause: string,
  place: (guest: CheckGuest) => Partial<PayloadOf<"vringAddr">>,
): CheckCase {
  return {
    id,
    room,
    title: `a ring ${title} does no harm`,
    clause,
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      await guest.giveMemory();
      return (await setUpBadly(guest, { addr: place(guest) })).said;
    },
  };
}

/** Front-end address of the end of the guest's memory. */
function end(guest: CheckGuest): bigint {
  const { userAddress, size } = guest.files[0]!.region;
  return userAddress + size;
}

export const BAD_RING_CASES: CheckCase[] = [
  badSize("M43a", 0, "the queue size is never 0"),
  badSize("M43b", 3, "the queue size is a power of 2"),
  badSize("M43c", 65_536, "at most 32768"),
  badSize("M43d", 0xffff_ffff, "at most 32768"),
  {
    id: "M4",
    room,
    title: "ring indices from 2^16 on are not cut to 16 bits",
    clause: "vhost-user, vring state: a 32-bit index; CVE-2020-10723",
    needs: ACKS,
    sockets: 1,
    run: async (bench) => {
      for (const name of ["SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ENABLE"] as const) {
        for (const index of [0x1_0000, 0xffff_fffe]) {
          const { link } = await bench.negotiated();
          const outcome = await link.outcome(name, vring(index, 1));
          demand(outcome === "refused" || outcome === "closed", `${name} of ring ${index}: ${OUTCOME_WORDS[outcome]}`);
          link.close();
        }
      }
    },
  },
  badPlace("M44a", "that ends behind its region", "CVE-2018-1059: the whole ring must lie in the region", (guest) => ({
    desc: end(guest) - 64n,
    avail: end(guest) - 16n,
    used: end(guest) - 16n,
  })),
  badPlace("M44b", "that is misaligned", "virtio 1.3, 2.7: descriptors at 16, avail at 2, used at 4 bytes", (guest) => {
    const [, ring] = guest.rings;
    const [desc, used] = [ring!.place.desc, ring!.place.used].map((address) => guest.userAddress(address));
    return { desc: desc! + 1n, used: used! + 1n };
  }),
  badPlace("M44c", "whose parts lie over each other", "virtio 1.3, 2.7: three areas", (guest) => {
    const desc = guest.userAddress(guest.rings[1]!.place.desc);
    return { desc, avail: desc, used: desc };
  }),
  badPlace("M36a", "in no region", "robustness: an address that nobody gave", () => ({
    desc: 0xdead_0000n,
    avail: 0xdead_1000n,
    used: 0xdead_2000n,
  })),
  badPlace("M36b", "at the end of the address space", "robustness: address + size overflows", () => ({
    desc: 2n ** 64n - 16n,
    avail: 2n ** 64n - 16n,
    used: 2n ** 64n - 16n,
  })),
  {
    id: "M28",
    room,
    title: "rings that were never set up are enabled, kicked and stopped",
    clause: "robustness: DPDK 1846fe767f, e4a01eea66; nothing is there to be read",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated({ pairs: 2 });
      const said: string[] = [];
      for (const { index, kick } of [...guest.rings].reverse()) {
        said.push(await guest.link.outcome("SET_VRING_ENABLE", vring(index, 1)));
        said.push(await guest.link.outcome("SET_VRING_KICK", vringFd(index), [kick]));
        await guest.stop(guest.rings[index]!);
      }
      return [...new Set(said)].join(", ");
    },
  },
  {
    id: "M30",
    room,
    title: "a looping ring where the control queue would be does no harm",
    clause: "DPDK 6ec1778134, 7cc4f260bf: the front-end keeps the control queue; a back-end never needs to read one",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated({ pairs: 2 });
      await guest.giveMemory();
      const [receive, transmit, control] = guest.rings;
      for (const ring of [receive!, transmit!]) await guest.setUp(ring);
      const buffer = { address: control!.free[0]!, length: 64 };
      control!.makeChain([{ buffer, flags: VIRTQ_DESC_F_NEXT, next: 0 }]);
      const requests: [MessageName, Payload, Fd[]][] = [
        ["SET_VRING_NUM", vring(control!.index, control!.size), []],
        ["SET_VRING_BASE", vring(control!.index, 0), []],
        ["SET_VRING_ADDR", guest.vringAddr(control!), []],
        ["SET_VRING_KICK", vringFd(control!.index), [control!.kick]],
        ["SET_VRING_ENABLE", vring(control!.index, 1), []],
      ];
      for (const [name, payload, fds] of requests) {
        const outcome = await guest.link.outcome(name, payload, fds);
        if (outcome !== "done" && outcome !== "taken") return `${name}: ${OUTCOME_WORDS[outcome]}`;
      }
      control!.notify();
      await bench.quiet();
      return "all of it was taken";
    },
  },
  {
    id: "M42c",
    room,
    title: "SET_VRING_ADDR before memory, SET_VRING_KICK before addresses",
    clause: "robustness: kept until the rest is there, or refused",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      const said: Outcome[] = [];
      for (const ring of guest.rings) {
        said.push(await guest.link.outcome("SET_VRING_KICK", vringFd(ring.index), [ring.kick]));
        said.push(await guest.link.outcome("SET_VRING_ADDR", guest.vringAddr(ring)));
      }
      return said.join(", ");
    },
  },
  {
    id: "M42d",
    room,
    title: "SET_VRING_NUM of a running ring does no harm",
    clause: "vhost-user, Ring states: a ring is set up while it is stopped",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.started();
      const outcome = await guest.link.outcome("SET_VRING_NUM", vring(1, 32_768));
      guest.rings[1]!.notify();
      await bench.quiet();
      return OUTCOME_WORDS[outcome];
    },
  },
  {
    id: "M43e",
    room,
    title: "a packed ring whose size is no power of 2 is taken",
    clause: "virtio 1.3, 2.8: the queue size of a packed ring need not be a power of 2",
    needs: { features: [VIRTIO_F_RING_PACKED] },
    sockets: 1,
    run: async (bench) => {
      await bench.started(0, { features: bits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED), size: 48 });
    },
  },
];
