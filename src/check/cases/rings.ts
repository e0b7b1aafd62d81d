// Rings started, stopped, disabled and told about in every order.

import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
} from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import type { CheckCase } from "../case.js";
import { frame } from "../frames.js";
import { u64, vring } from "../payloads.js";
import { demand } from "../verdict.js";

const room = "rings";
const PROTOCOL = { features: [VHOST_USER_F_PROTOCOL_FEATURES] };

const STATES =
  "vhost-user, Ring states: started by a kick descriptor, stopped by GET_VRING_BASE, enabled apart from both";

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
      await bench.quiet();
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
];
