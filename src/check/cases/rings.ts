// Rings started, stopped, disabled and told about in every order, and rings that are none.

import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
} from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import type { Fd } from "../../vhost-user/effects.js";
import { PROTOCOL_F_REPLY_ACK } from "../../vhost-user/features.js";
import type { MessageName, Payload, PayloadOf } from "../../vhost-user/message.js";
import type { CheckCase } from "../case.js";
import { frame } from "../frames.js";
import type { CheckGuest } from "../guest.js";
import { OUTCOME_WORDS, type Outcome } from "../link.js";
import { u64, vring, vringFd } from "../payloads.js";
import { demand } from "../verdict.js";

const room = "rings";
const PROTOCOL = { features: [VHOST_USER_F_PROTOCOL_FEATURES] };
const ACKS = { ...PROTOCOL, protocol: [PROTOCOL_F_REPLY_ACK] };
const STATES =
  "vhost-user, Ring states: started by a kick descriptor, stopped by GET_VRING_BASE, enabled apart from both";

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

export const RING_CASES: CheckCase[] = [
  {
    id: "M42b",
    room,
    title: "GET_VRING_BASE before anything else is answered, with the index asked for",
    clause: "vhost-user, GET_VRING_BASE: the reply is a vring state of that ring",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      return `base ${await guest.stop(guest.rings[1]!)}`;
    },
  },
  {
    id: "R1",
    room,
    title: "GET_VRING_BASE of a ring that never started says what SET_VRING_BASE set",
    clause: "vhost-user, GET_VRING_BASE: the available ring base offset",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      await guest.link.done("SET_VRING_NUM", vring(1, 64));
      await guest.link.done("SET_VRING_BASE", vring(1, 40));
      const base = await guest.stop(guest.rings[1]!);
      demand(base === 40, `40 was set, and ${base} came`);
    },
  },
  {
    id: "R2",
    room,
    title: "GET_VRING_BASE of a transmitq says how far the device came",
    clause: "vhost-user, GET_VRING_BASE: stops the ring and replies with the next available index",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      await bench.passAll(a, b, [60, 100, 200]);
      const ring = a.rings[1]!;
      await bench.until("sent buffers did not come back", () => {
        a.reclaim();
        return ring.driver.freeDescriptors === ring.size;
      });
      const base = await a.stop(ring);
      demand(base === ring.driver.availIndex, `${ring.driver.availIndex} were made available and used, ${base} came`);
    },
  },
  {
    id: "R3",
    room,
    title: "a stopped ring is not touched",
    clause: "vhost-user, Ring states: after GET_VRING_BASE the back-end must not access the ring",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      await a.stop(a.rings[1]!);
      a.send(frame(1, 2, 100, 1));
      a.send(frame(1, 2, 100, 2));
      a.reclaim();
      const before = a.rings[1]!.driver.freeDescriptors;
      await bench.quiet();
      a.reclaim();
      demand(a.rings[1]!.driver.freeDescriptors === before, "buffers of the stopped ring were used");
      demand((await bench.arrivals(b, 1, 0)).length === 0, "a frame of the stopped ring arrived");
    },
  },
  {
    id: "F8",
    room,
    title: "stopped and started again, rings go on where they were, with what was queued",
    clause: `${STATES}; QEMU's stop and cont`,
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      await bench.passAll(a, b, [60, 300]);
      for (let round = 0; round < 3; round++) {
        const bases: number[] = [];
        for (const ring of a.rings) bases.push(await a.stop(ring));
        const queued = frame(1, 2, 500, 90 + round);
        a.send(queued);
        for (const [i, ring] of a.rings.entries()) await a.setUp(ring, { base: bases[i]! });
        for (const ring of a.rings) ring.notify();
        const came = await bench.next(b);
        demand(came !== undefined, "the frame that was queued meanwhile did not arrive");
        await bench.open(b, a);
        await bench.passAll(a, b, [60, 300]);
        await bench.passAll(b, a, [60, 300]);
      }
    },
  },
  {
    id: "F16a",
    room,
    title: "SET_FEATURES with bit 30 under running rings disables none",
    clause: "vhost-user, Ring states; rust-vmm #210: QEMU sends it again when a migration begins",
    needs: PROTOCOL,
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      await a.link.done("SET_FEATURES", u64(a.features));
      await a.link.settle();
      await bench.passAll(a, b, [60, 100]);
    },
  },
  {
    id: "F16b",
    room,
    title: "SET_VRING_ENABLE before features, memory and kick counts",
    clause: `${STATES}; QEMU 7.2 enables first`,
    needs: PROTOCOL,
    sockets: 2,
    run: async (bench) => {
      const b = await bench.started(1);
      const a = await bench.guest(0);
      await a.link.number("GET_PROTOCOL_FEATURES");
      await a.link.say("SET_PROTOCOL_FEATURES", u64(0n));
      for (const ring of a.rings) await a.link.say("SET_VRING_ENABLE", vring(ring.index, 1));
      await a.negotiate();
      await a.giveMemory();
      for (const ring of a.rings) await a.setUp(ring, { enable: false });
      a.rings[0]!.offer();
      await bench.open(b, a);
      await bench.open(a, b);
      await bench.passAll(a, b, [60, 100]);
    },
  },
  {
    id: "F17",
    room,
    title: "enables in odd order: transmitq first, receiveq later",
    clause: `${STATES}; cloud-hypervisor #2911`,
    needs: PROTOCOL,
    sockets: 2,
    run: async (bench) => {
      const b = await bench.started(1);
      const a = await bench.negotiated();
      await a.giveMemory();
      a.rings[0]!.offer();
      for (const ring of [...a.rings].reverse()) await a.setUp(ring, { enable: false });
      for (const ring of [...a.rings].reverse()) await a.enable(ring, true);
      await bench.open(b, a);
      await bench.open(a, b);
      await bench.passAll(a, b, [60, 100]);
    },
  },
  {
    id: "R4",
    room,
    title: "without bit 30 rings are enabled from the beginning",
    clause: "vhost-user, Ring states: without VHOST_USER_F_PROTOCOL_FEATURES rings start enabled",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({ protocol: null }, {});
      await bench.passAll(a, b, [60, 100]);
    },
  },
  {
    id: "R5",
    room,
    title: "a disabled receiveq is given nothing, and gets frames again once enabled",
    clause: "vhost-user, Ring states: in the disabled state a net device supplies no new RX packets",
    needs: PROTOCOL,
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      await b.enable(b.rings[0]!, false);
      await b.link.settle();
      await bench.quiet();
      b.receive();
      a.send(frame(1, 2, 100, 1));
      await bench.quiet();
      demand((await bench.arrivals(b, 1, 0)).length === 0, "a frame arrived");
      await b.enable(b.rings[0]!, true);
      await bench.open(a, b);
    },
  },
  {
    id: "R6",
    room,
    title: "a disabled transmitq is emptied, and what was in it does not arrive",
    clause: "vhost-user, Ring states: in the disabled state a net device processes and discards TX packets",
    needs: PROTOCOL,
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      const ring = a.rings[1]!;
      await bench.until(
        "sent buffers did not come back",
        () => a.reclaim().length >= 0 && ring.driver.freeDescriptors === ring.size,
      );
      await a.enable(ring, false);
      await a.link.settle();
      a.send(frame(1, 2, 100, 1));
      await bench.until("the buffer was not given back", () => {
        a.reclaim();
        return ring.driver.freeDescriptors === ring.size;
      });
      demand((await bench.arrivals(b, 1, 0)).length === 0, "the frame arrived");
    },
  },
  {
    id: "R7",
    room,
    title: "rings without kick and call descriptors are polled, and polled for",
    clause: "vhost-user, SET_VRING_KICK and SET_VRING_CALL: bit 8, polling is used",
    sockets: 2,
    run: async (bench) => {
      const b = await bench.started(1);
      const a = await bench.negotiated();
      await a.giveMemory();
      a.rings[0]!.offer();
      for (const ring of a.rings) await a.setUp(ring, { kick: null, call: null });
      await bench.open(b, a);
      await bench.open(a, b);
      await bench.passAll(a, b, [60, 100]);
    },
  },
  ...(
    [
      ["R8", "a frame that arrives is called for", undefined, 0n],
      [
        "F28",
        "with event idx a frame that arrives is called for, when it is the one asked for",
        [VIRTIO_F_EVENT_IDX],
        bits(VIRTIO_F_EVENT_IDX),
      ],
    ] as const
  ).map(
    ([id, title, features, more]): CheckCase => ({
      id,
      room,
      title,
      clause: "virtio 1.3, 2.7.7.2: the device MUST send a notification unless it was asked not to",
      needs: features ? { features } : {},
      sockets: 2,
      run: async (bench) => {
        const [a, b] = await bench.pair({ features: bits(VIRTIO_F_VERSION_1) | more });
        const [ring] = b.rings;
        await bench.quiet();
        b.receive();
        ring!.driver.wantCalls(true);
        ring!.called();
        await bench.pass(a, b, frame(1, 2, 100, 1));
        await bench.until("no call came", () => ring!.called());
      },
    }),
  ),
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
