// Frames between two sockets, on every kind of ring: each arrives as it was sent, and the rings say so.

import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import { PROTOCOL_F_MQ, PROTOCOL_F_RARP } from "../../vhost-user/features.js";
import type { CheckCase, Workbench } from "../case.js";
import { difference, FRAME_MAX, FRAME_MIN, frame, frameNumber } from "../frames.js";
import type { CheckGuest, CheckGuestOptions } from "../guest.js";
import { u64 } from "../payloads.js";
import { demand } from "../verdict.js";
import { within } from "../wait.js";

const room = "traffic";
const MODERN = bits(VIRTIO_F_VERSION_1);
const LENGTHS = [FRAME_MIN, 61, 64, 65, 127, 128, 255, 512, 1023, 1280, 1513, FRAME_MAX];
const ETHERTYPE_RARP = 0x8035;

type How = Parameters<CheckGuest["send"]>[1];

/** Frames of many lengths both ways between two guests of one kind. */
function passes(
  id: string,
  title: string,
  clause: string,
  features: readonly number[],
  options: CheckGuestOptions = {},
  how: How = {},
): CheckCase {
  return {
    id,
    room,
    title,
    clause,
    needs: { features },
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({ features: bits(...features), ...options });
      await bench.passAll(a, b, LENGTHS, how);
      await bench.passAll(b, a, LENGTHS, how);
    },
  };
}

/** Passes `count` frames of these lengths as fast as they are taken; all arrive, in order and as they were sent. */
async function burst(
  bench: Workbench,
  from: CheckGuest,
  to: CheckGuest,
  count: number,
  lengths: readonly number[],
): Promise<void> {
  const length = (i: number) => lengths[i % lengths.length]!;
  const make = (i: number) => frame(from.station, to.station, length(i), i);
  /** Never more under way than the receiver has room for. */
  const ahead = to.rings[0]!.size / 2;
  let sent = 0;
  let arrived = 0;
  while (arrived < count) {
    while (sent < count && sent - arrived < ahead && from.send(make(sent))) sent++;
    const came = await bench.arrivals(to, 1);
    demand(came.length > 0, `${arrived} of ${sent} frames arrived, then no more`);
    for (const { frame: bytes } of came) {
      const number = frameNumber(bytes);
      demand(number === arrived, `frame ${number} arrived where frame ${arrived} was to come`);
      const changed = difference(bytes, make(arrived));
      demand(changed === undefined, `frame ${arrived} was changed: ${changed}`);
      arrived++;
    }
  }
}

const CHAINS = "virtio 1.3, 2.7.4.2: no assumption about the framing of a message over descriptors";

export const TRAFFIC_CASES: CheckCase[] = [
  passes("T1", "frames of 60 to 1514 bytes arrive as they were sent", "virtio 1.3, 5.1.6", [VIRTIO_F_VERSION_1]),
  passes("F31", "a legacy driver: header of 10 bytes", "virtio 1.3, 5.1.6.1, legacy: no num_buffers", []),
  passes("M11a", "header and frame in one descriptor", CHAINS, [VIRTIO_F_VERSION_1], {}, { cuts: [] }),
  passes("M11b", "a header over three descriptors", CHAINS, [VIRTIO_F_VERSION_1], {}, { cuts: [1, 6, 5] }),
  passes(
    "T2",
    "a frame over many descriptors",
    CHAINS,
    [VIRTIO_F_VERSION_1],
    {},
    { cuts: [12, 1, 2, 3, 4, 5, 6, 7, 8, 9] },
  ),
  passes(
    "T3",
    "indirect descriptors",
    "virtio 1.3, 2.7.5.3",
    [VIRTIO_F_VERSION_1, VIRTIO_F_INDIRECT_DESC],
    {},
    { indirect: true, cuts: [12, 20] },
  ),
  passes("T4", "event idx", "virtio 1.3, 2.7.7", [VIRTIO_F_VERSION_1, VIRTIO_F_EVENT_IDX]),
  passes("T5", "use in order", "virtio 1.3, 2.7.9", [VIRTIO_F_VERSION_1, VIRTIO_F_IN_ORDER]),
  passes("T6", "packed rings", "virtio 1.3, 2.8", [VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED]),
  passes("T7", "packed rings of 48 entries", "virtio 1.3, 2.8: any size", [VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED], {
    size: 48,
  }),
  passes(
    "T8",
    "packed rings with indirect descriptors",
    "virtio 1.3, 2.8.7",
    [VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED, VIRTIO_F_INDIRECT_DESC],
    {},
    { indirect: true, cuts: [12, 20] },
  ),
  passes("T9", "packed rings with event idx", "virtio 1.3, 2.8.10", [
    VIRTIO_F_VERSION_1,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_EVENT_IDX,
  ]),
  {
    id: "T10",
    room,
    title: "mergeable buffers of 256 bytes: num_buffers counts them",
    clause: "virtio 1.3, 5.1.6.4: a packet may use several receive buffers, num_buffers says how many",
    needs: { features: [VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF] },
    sockets: 2,
    run: async (bench) => {
      const b = { features: bits(VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF), bufferBytes: 256 };
      const receiver = await bench.started(1, b);
      const sender = await bench.started(0);
      await bench.open(receiver, sender);
      await bench.open(sender, receiver);
      for (const length of LENGTHS) {
        const { buffers } = await bench.pass(sender, receiver, frame(1, 2, length, length));
        const least = Math.ceil((12 + length) / 256);
        demand(buffers === least, `${length} bytes took ${buffers} buffers of 256, ${least} are enough`);
      }
    },
  },
  {
    id: "T11",
    room,
    title: "without mergeable buffers num_buffers is 1",
    clause: "virtio 1.3, 5.1.6.4.1: the device MUST set num_buffers to 1 if MRG_RXBUF was not negotiated",
    needs: { features: [VIRTIO_F_VERSION_1] },
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      const { header } = await bench.pass(a, b, frame(1, 2, 100, 1));
      const number = new DataView(header.buffer).getUint16(10, true);
      demand(number === 1, `num_buffers is ${number}`);
    },
  },
  {
    id: "M46",
    room,
    title: "used.len is what was written: header and frame when receiving, 0 when sending",
    clause: "virtio 1.3, 2.7.8.2: the device MUST set len to the number of bytes written",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      for (const length of [FRAME_MIN, 777]) {
        await bench.quiet();
        a.reclaim();
        await bench.pass(a, b, frame(1, 2, length, length));
        let lengths: number[] = [];
        await bench.until("the sent buffer did not come back", () => {
          lengths = a.reclaim();
          return lengths.length > 0;
        });
        demand(lengths[0] === 0, `of a sent buffer it is ${lengths[0]}`);
      }
    },
  },
  {
    id: "M29a",
    room,
    title: "a split ring's indices wrap from 65535 to 0",
    clause: "virtio 1.3, 2.7.6: idx is free-running modulo 2^16",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({ features: MODERN, firstIndex: 65_530 });
      await burst(bench, a, b, 200, [FRAME_MIN, 200]);
      await burst(bench, b, a, 200, [FRAME_MIN, 200]);
    },
  },
  ...(
    [
      ["M29b", 2],
      ["M29c", 8],
      ["M29d", 1024],
    ] as const
  ).map(
    ([id, size]): CheckCase => ({
      id,
      room,
      title: `rings of ${size} entries, around several times`,
      clause: "virtio 1.3, 2.7: any power of 2 up to 32768",
      sockets: 2,
      run: async (bench) => {
        const [a, b] = await bench.pair({ features: MODERN, size, bufferBytes: 1024 });
        const how = { cuts: [] };
        for (let i = 0; i < Math.max(20, 2 * size); i += Math.max(1, size / 8)) {
          await bench.pass(a, b, frame(1, 2, 100 + (i % 300), i), how);
        }
      },
    }),
  ),
  {
    id: "T12",
    room,
    title: "packed rings, around many times in bursts",
    clause: "virtio 1.3, 2.8.1: the wrap counters",
    needs: { features: [VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED] },
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({ features: bits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED), size: 64 });
      await burst(bench, a, b, 500, [FRAME_MIN, 200, 1000]);
    },
  },
  {
    id: "F23",
    room,
    title: "288 frames of mixed sizes in bursts arrive in order",
    clause: "DPDK's vm2vm plan; frames of one queue keep their order",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({ size: 256 });
      await burst(bench, a, b, 288, [64, 64, 64, 64, 64, 64, 64, FRAME_MAX, 1000]);
    },
  },
  {
    id: "F19",
    room,
    title: "two queue pairs: what is sent on either arrives, on whichever of the receiver's",
    clause: "vhost-user, Multiple queue support: as many pairs as GET_QUEUE_NUM says",
    needs: { features: [VIRTIO_NET_F_MQ, VHOST_USER_F_PROTOCOL_FEATURES], protocol: [PROTOCOL_F_MQ], pairs: 2 },
    sockets: 2,
    run: async (bench) => {
      const features = bits(VIRTIO_F_VERSION_1, VIRTIO_NET_F_MQ);
      const [a, b] = await bench.pair({ features, pairs: 2 });
      for (const pair of [0, 1, 0, 1]) {
        const arrived = await within(bench.timeoutMs, () => {
          a.send(frame(1, 2, 300, pair), { pair });
          return b.receiveAll().some((it) => frameNumber(it.frame) === pair) || undefined;
        });
        demand(
          arrived === true,
          `nothing arrives from transmitq ${pair}, and GET_QUEUE_NUM says ${bench.offer.queuePairs}`,
        );
      }
    },
  },
  {
    id: "F9",
    room,
    title: "SEND_RARP announces the guest's address on the other socket",
    clause: "vhost-user, SEND_RARP: broadcast a fake RARP to notify of the migration",
    needs: { features: [VHOST_USER_F_PROTOCOL_FEATURES], protocol: [PROTOCOL_F_RARP] },
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({ protocol: bits(PROTOCOL_F_RARP) });
      const mac = [0x02, 0x52, 0x42, 0, 0, 0x77];
      await a.link.done("SEND_RARP", u64(mac.reduce((sum, octet, i) => sum | (BigInt(octet) << BigInt(8 * i)), 0n)));
      const isRarp = (bytes: Uint8Array) => bytes.length >= 42 && ((bytes[12]! << 8) | bytes[13]!) === ETHERTYPE_RARP;
      const came = await within(bench.timeoutMs, () => b.receive().find(({ frame: bytes }) => isRarp(bytes)));
      demand(came !== undefined, "no RARP frame came");
      const from = [...came.frame.subarray(6, 12)];
      demand(
        from.every((octet, i) => octet === mac[i]),
        `its source is ${from.map((o) => o.toString(16)).join(":")}`,
      );
    },
  },
];
