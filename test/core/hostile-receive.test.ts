// Broken buffers in a receiveq: each has a named outcome, and nothing is written where the guest did not say.

import { describe, expect, test } from "vitest";
import { BROADCAST, frame, type TestGuest, VARIANTS } from "./support/bench-guest.js";
import {
  HostileScene,
  INDIRECT,
  INDIRECT_DESC,
  MERGEABLE,
  NEXT,
  type Places,
  type RawDescriptor,
  RING_SIZE,
  VERSION_1,
  WRITE,
} from "./support/hostile-guest.js";

const HEADER = 12;
const TABLE = 32_768n;
const TOP = 0xffff_ffff_ffff_ffffn;
const FRAME = frame(1, 2, 60);
const NEED = HEADER + FRAME.length;

interface Case {
  name: string;
  chain: (at: Places) => RawDescriptor[];
  table?: (at: Places) => RawDescriptor[];
  features?: bigint;
  /** Of a split ring only: in the tables of packed ones nothing leads anywhere. */
  splitOnly?: boolean;
}

const FEATURES = VERSION_1 | INDIRECT_DESC;

const indirect =
  (length: number, flags = INDIRECT) =>
  ({ good }: Places): RawDescriptor[] => [[good + TABLE, length, flags, 1]];
const goodTable = (at: Places): RawDescriptor[] => [[at.good, 2000, WRITE, 0]];

// The frame needs 72 bytes: what comes behind them in a chain is not looked at.
const REFUSED: Case[] = [
  { name: "M1: runs past the end of its region", chain: (at) => [[at.end - NEED64, 2000, WRITE, 0]] },
  { name: "M1: runs past the end, though the frame would fit", chain: (at) => [[at.end - 1999n, 2000, WRITE, 0]] },
  { name: "M1: runs one byte into the hole", chain: (at) => [[at.hole - 1999n, 2000, WRITE, 0]] },
  { name: "M1: runs into the hole", chain: (at) => [[at.hole - 100n, 2000, WRITE, 0]] },
  { name: "M1: crosses the hole", chain: (at) => [[at.hole - 10n, 10_000, WRITE, 0]] },
  { name: "M1: wraps at 2^64", chain: () => [[TOP - 100n, 2000, WRITE, 0]] },
  { name: "M1: 4 GiB - 1", chain: (at) => [[at.good, 0xffff_ffff, WRITE, 0]] },
  { name: "M36: is in no region", chain: () => [[8n, 2000, WRITE, 0]] },
  { name: "M45: is not writable", chain: (at) => [[at.good, 2000, 0, 0]] },
  {
    name: "M45: a readable descriptor in front",
    chain: (at) => [
      [at.good, 12, NEXT, 1],
      [at.good, 2000, WRITE, 0],
    ],
  },
  {
    name: "M45: a readable descriptor behind the header",
    chain: (at) => [
      [at.good, 12, WRITE | NEXT, 1],
      [at.good, 2000, 0, 0],
    ],
  },
  {
    name: "M1: its second descriptor is nowhere",
    chain: (at) => [
      [at.good, 12, WRITE | NEXT, 1],
      [at.hole, 2000, WRITE, 0],
    ],
  },
  ...[0, 8, 17, 32_769 * 16].map((length) => ({
    name: `M17: an indirect table of ${length} bytes`,
    chain: indirect(length),
    table: goodTable,
  })),
  { name: "M17: INDIRECT with NEXT", chain: indirect(16, INDIRECT | NEXT), table: goodTable },
  { name: "M17: INDIRECT, not negotiated", chain: indirect(16), table: goodTable, features: VERSION_1 },
  {
    name: "M17: a table in a table",
    chain: indirect(16),
    table: (at) => [[at.good + TABLE, 16, INDIRECT, 0]],
  },
  { name: "M1: a table that crosses a hole", chain: (at) => [[at.hole - 16n, 32, INDIRECT, 0]] },
  { name: "M1: a table that runs past its region", chain: (at) => [[at.end - 16n, 32, INDIRECT, 0]] },
  { name: "M1: a table whose last byte is out", chain: (at) => [[at.end - 31n, 32, INDIRECT, 0]] },
  { name: "M36: a table in no region", chain: () => [[0n, 16, INDIRECT, 0]] },
  {
    name: "M15: next behind the end of a table",
    chain: indirect(16),
    table: (at) => [[at.good, 10, WRITE | NEXT, 1]],
    splitOnly: true,
  },
  {
    name: "M14: an empty descriptor in a table that names itself",
    chain: indirect(16),
    table: (at) => [[at.good, 0, WRITE | NEXT, 0]],
    splitOnly: true,
  },
];
const NEED64 = BigInt(NEED - 1);

/** Sends FRAME-like frames from the peer to the hostile guest. */
function sendTo(scene: HostileScene, count = 1): Uint8Array[] {
  const sent = Array.from({ length: count }, (_, i) => frame(1, 2, 60, i + 1));
  for (const bytes of sent) scene.peer.send(bytes);
  return sent;
}

function frames(guest: TestGuest): number {
  return guest.queue(0).counters().frames;
}

describe.each(VARIANTS)("refused receive buffers, $target build, $form ring", ({ target, form, ring }) => {
  const refused = REFUSED.filter(({ splitOnly }) => form === "split" || !splitOnly);
  test.each(refused)("$name: given back empty", async ({ chain, table, features = FEATURES }) => {
    for (const mergeable of [0n, MERGEABLE]) {
      const scene = await HostileScene.create(target, features | mergeable | ring);
      const { hostile, at } = scene;
      if (table) scene.table(at.good + TABLE, table(at));
      scene.offer(0, chain(at));
      scene.offer(0, [[at.good, 200, WRITE, 0]], 9);
      const [, second] = sendTo(scene, 2);
      scene.settle([{ address: at.good, length: 200 }]);
      // The first frame is lost with the bad buffer, the second takes the good one.
      expect(hostile.drops(0)).toEqual({ DROP_RX_CHAIN_BAD: 1 });
      expect(scene.used(0)).toEqual([
        [0, 0],
        [9, NEED],
      ]);
      expect(hostile.read(at.good + BigInt(HEADER), 60)).toEqual(second);
      expect(hostile.state(0)).toBe("QUEUE_OK");
      expect(scene.peer.reclaim()).toBe(3);
      scene.expectTransmits();
      scene.expectOthersGoOn();
    }
  });

  test("bad buffers between good ones of one burst: each is given back empty, the good ones are filled", async () => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    const { at } = scene;
    const bad = refused.map(({ chain }) => chain(at)).filter((chain) => chain.length === 1);
    for (const [i, chain] of bad.entries()) {
      scene.offer(0, [[at.good + BigInt(100 * i), 100, WRITE, 0]], 2 * i);
      scene.offer(0, chain, 2 * i + 1);
    }
    const sent = sendTo(scene, 2 * bad.length);
    scene.settle([{ address: at.good, length: 100 * bad.length }]);
    expect(scene.used(0)).toEqual(
      bad.flatMap((_, i) => [
        [2 * i, NEED],
        [2 * i + 1, 0],
      ]),
    );
    for (const i of bad.keys()) expect(scene.hostile.read(at.good + BigInt(100 * i + 12), 60)).toEqual(sent[2 * i]);
    expect(scene.hostile.drops(0)).toEqual({ DROP_RX_CHAIN_BAD: bad.length });
  });

  test("merged: a bad buffer behind a good one takes both with it, and nothing is written to either", async () => {
    const scene = await HostileScene.create(target, VERSION_1 | MERGEABLE | ring);
    const { hostile, at } = scene;
    scene.offer(0, [[at.good, 40, WRITE, 0]], 1);
    scene.offer(0, [[at.good + 40n, 20, WRITE, 0]], 2);
    scene.offer(0, [[at.hole, 40, WRITE, 0]], 3);
    scene.offer(0, [[at.good + 100n, 100, WRITE, 0]], 4);
    const [, second] = sendTo(scene, 2);
    scene.settle([{ address: at.good + 100n, length: NEED }]);
    expect(scene.used(0)).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
      [4, NEED],
    ]);
    expect(hostile.drops(0)).toEqual({ DROP_RX_CHAIN_BAD: 1 });
    expect(hostile.read(at.good + 112n, 60)).toEqual(second);
  });

  test("what is behind the bytes that a frame needs is not looked at", async () => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    const { at } = scene;
    const chain: RawDescriptor[] = [
      [at.good, NEED, WRITE | NEXT, 1],
      [at.hole, 100, 0, 0xffff],
    ];
    scene.offer(0, chain);
    const [sent] = sendTo(scene);
    scene.settle([{ address: at.good, length: NEED }]);
    expect(scene.used(0)).toEqual([[0, NEED]]);
    expect(scene.hostile.read(at.good + 12n, 60)).toEqual(sent);
  });
});

describe.each(VARIANTS)("receive buffers that are too small, $target build, $form ring", ({ target, ring }) => {
  test("M34: merged, a first buffer smaller than the header gets what it holds of it", async () => {
    const scene = await HostileScene.create(target, VERSION_1 | MERGEABLE | ring);
    const { hostile, at } = scene;
    const rooms = [1, 10, 5, 60];
    for (const [i, room] of rooms.entries()) scene.offer(0, [[at.good + BigInt(100 * i), room, WRITE, 0]], i);
    const [sent] = sendTo(scene);
    scene.settle(rooms.map((length, i) => ({ address: at.good + BigInt(100 * i), length })));
    expect(scene.used(0)).toEqual([
      [0, 1],
      [1, 10],
      [2, 5],
      [3, 56],
    ]);
    const whole = rooms.flatMap((room, i) => [...hostile.read(at.good + BigInt(100 * i), Math.min(room, 56))]);
    expect(whole).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, rooms.length, 0, ...sent!]);
  });

  test.each([0, 1, HEADER - 1, HEADER, NEED - 1])(
    "M34: not merged, a buffer of %i bytes is left as it is",
    async (room) => {
      const scene = await HostileScene.create(target, FEATURES | ring);
      scene.offer(0, [[scene.at.good, room, WRITE, 0]]);
      sendTo(scene, 3);
      scene.settle();
      expect(scene.hostile.drops(0)).toEqual({ DROP_RX_BUFFER_TOO_SMALL: 3 });
      expect(scene.used(0)).toEqual([]);
      expect(scene.hostile.state(0)).toBe("QUEUE_OK");
      scene.expectOthersGoOn();
    },
  );

  test("merged, empty buffers are used up with 0 bytes and counted in num_buffers", async () => {
    const scene = await HostileScene.create(target, VERSION_1 | MERGEABLE | ring);
    const { at, hostile } = scene;
    scene.offer(0, [[at.good, 0, WRITE, 0]], 0);
    scene.offer(0, [[at.good, 0, WRITE, 0]], 1);
    scene.offer(0, [[at.good, 100, WRITE, 0]], 2);
    sendTo(scene);
    scene.settle([{ address: at.good, length: NEED }]);
    expect(scene.used(0)).toEqual([
      [0, 0],
      [1, 0],
      [2, NEED],
    ]);
    expect(hostile.read(at.good + 10n, 2)).toEqual(new Uint8Array([3, 0]));
  });

  test("no buffers: frames are counted as such, and nothing else happens", async () => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    sendTo(scene, 3);
    scene.settle();
    expect(scene.hostile.drops(0)).toEqual({ DROP_NO_RX_BUFFER: 3 });
    scene.expectReceives();
  });
});

describe.each(VARIANTS)("broken receiveqs, $target build, $form ring", ({ target, form, ring }) => {
  const splitCases: { name: string; state: string; offer: (scene: HostileScene) => void }[] = [
    {
      name: "M14: an empty descriptor names itself",
      state: "QUEUE_CHAIN_LOOP at 5",
      offer: (scene) => scene.offer(0, [[scene.at.good, 0, WRITE | NEXT, 5]], 5),
    },
    {
      name: "M14: two empty descriptors name each other",
      state: "QUEUE_CHAIN_LOOP at 3",
      offer: (scene) =>
        scene.offer(
          0,
          [
            [scene.at.good, 0, WRITE | NEXT, 4],
            [scene.at.good, 0, WRITE | NEXT, 3],
          ],
          3,
        ),
    },
    {
      name: "M14: a loop that has not room enough in all its rounds",
      state: "QUEUE_CHAIN_LOOP at 5",
      offer: (scene) => scene.offer(0, [[scene.at.good, 1, WRITE | NEXT, 5]], 5),
    },
    {
      name: "M15: next is the ring's size",
      state: `QUEUE_BAD_NEXT at ${RING_SIZE}`,
      offer: (scene) => scene.offer(0, [[scene.at.good, 20, WRITE | NEXT, RING_SIZE]]),
    },
    {
      name: "M15: the head is the ring's size",
      state: `QUEUE_BAD_HEAD at ${RING_SIZE}`,
      offer: (scene) => scene.offer(0, [], 0, RING_SIZE),
    },
    ...[RING_SIZE + 1, 65_535].map((index) => ({
      name: `M16: the avail index jumps to ${index}`,
      state: `QUEUE_BAD_AVAIL_INDEX at ${index}`,
      offer: (scene: HostileScene) => {
        const avail = scene.hostile.memory.at(scene.hostile.driver(0).ring.avail);
        scene.sw.bridge.views.data.setUint16(avail + 2, index, true);
      },
    })),
  ];

  /** Descriptors all round a packed ring, each of which says that there is a next one. */
  const endless = (at: Places, length: number, flags = WRITE | NEXT): RawDescriptor[] =>
    Array.from({ length: RING_SIZE }, () => [at.good, length, flags, 0]);
  const packedCases: typeof splitCases = [
    {
      name: "M14: a chain without end that has no room",
      state: "QUEUE_CHAIN_LOOP at 0",
      offer: (scene) => scene.offer(0, endless(scene.at, 0)),
    },
    {
      name: "M14: a chain without end that has not room enough in a whole round",
      state: "QUEUE_CHAIN_LOOP at 0",
      offer: (scene) => scene.offer(0, endless(scene.at, 1)),
    },
    {
      name: "M14: a chain without end that has room enough",
      state: "QUEUE_CHAIN_LOOP at 3",
      offer: (scene) => scene.offer(0, endless(scene.at, 20)),
    },
    {
      name: "M14: a chain without end that is refused for its first descriptor",
      state: "QUEUE_CHAIN_LOOP at 0",
      offer: (scene) => scene.offer(0, endless(scene.at, 2000, NEXT)),
    },
  ];

  test.each(form === "split" ? splitCases : packedCases)("$name: $state", async ({ state, offer }) => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    const { hostile, peer } = scene;
    offer(scene);
    sendTo(scene, 3);
    scene.settle();
    expect(hostile.state(0)).toBe(state);
    // The frames of the burst at which it broke are counted there, later ones at their sender.
    expect(hostile.drops(0)).toEqual({ DROP_RX_CHAIN_BAD: 3 });
    expect(scene.used(0)).toEqual([]);
    sendTo(scene, 2);
    scene.settle();
    expect(peer.drops(1)).toEqual({ DROP_PORT_DOWN: 2 });
    expect(hostile.drops(0)).toEqual({ DROP_RX_CHAIN_BAD: 3 });
    expect(peer.reclaim()).toBe(6);
    scene.expectTransmits();
    scene.expectOthersGoOn();
    await hostile.restartQueue(0);
    scene.expectReceives();
  });

  test.runIf(form === "split")(
    "frames placed before the ring broke arrive, the rest of the burst is counted",
    async () => {
      const scene = await HostileScene.create(target, FEATURES | ring);
      const { hostile, at } = scene;
      for (const i of [0, 1]) scene.offer(0, [[at.good + BigInt(100 * i), 100, WRITE, 0]], i);
      scene.offer(0, [], 0, 200);
      const sent = sendTo(scene, 5);
      scene.settle([{ address: at.good, length: 200 }]);
      expect(hostile.state(0)).toBe("QUEUE_BAD_HEAD at 200");
      expect(scene.used(0)).toEqual([
        [0, NEED],
        [1, NEED],
      ]);
      for (const i of [0, 1]) expect(hostile.read(at.good + BigInt(100 * i + 12), 60)).toEqual(sent[i]);
      expect(frames(hostile)).toBe(2);
      expect(hostile.drops(0)).toEqual({ DROP_RX_CHAIN_BAD: 3 });
    },
  );

  test.runIf(form === "split")(
    "merged: buffers taken for the frame at which the ring breaks stay the device's",
    async () => {
      const scene = await HostileScene.create(target, VERSION_1 | MERGEABLE | ring);
      const { hostile, at } = scene;
      scene.offer(0, [[at.good, 50, WRITE, 0]], 0);
      scene.offer(0, [], 0, 200);
      sendTo(scene);
      scene.settle();
      expect(hostile.state(0)).toBe("QUEUE_BAD_HEAD at 200");
      expect(scene.used(0)).toEqual([]);
      expect(hostile.drops(0)).toEqual({ DROP_RX_CHAIN_BAD: 1 });
    },
  );

  test.runIf(form === "split")("a flood passes a broken receiveq by", async () => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    scene.offer(0, [], 0, 200);
    const bytes = frame(BROADCAST, 2, 100);
    for (let round = 0; round < 2; round++) {
      scene.peer.send(bytes);
      scene.settle();
      expect(scene.other.receive()).toEqual([bytes]);
    }
    expect(scene.hostile.state(0)).toBe("QUEUE_BAD_HEAD at 200");
    expect(scene.peer.drops(1)).toEqual({ DROP_PORT_DOWN: 1 });
  });
});
