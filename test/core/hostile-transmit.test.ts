// Broken chains in a transmitq: each has a named outcome, and nobody else notices.

import { describe, expect, test } from "vitest";
import { frame, VARIANTS } from "./support/bench-guest.js";
import {
  HostileScene,
  INDIRECT,
  INDIRECT_DESC,
  NEXT,
  type Places,
  type RawDescriptor,
  RING_SIZE,
  VERSION_1,
  WRITE,
} from "./support/hostile-guest.js";

const HEADER = 12;
/** Where indirect tables are put, from `good` on. */
const TABLE = 32_768n;
const TOP = 0xffff_ffff_ffff_ffffn;

interface Case {
  name: string;
  chain: (at: Places) => RawDescriptor[];
  /** Written at `good` + TABLE. */
  table?: (at: Places) => RawDescriptor[];
  drop: string;
  features?: bigint;
  /** Of a split ring only: the tables of packed ones are read as a whole, whatever their flags say. */
  splitOnly?: boolean;
}

const FEATURES = VERSION_1 | INDIRECT_DESC;

/** A chain of one indirect descriptor for the table at `good` + TABLE. */
const indirect =
  (length: number, flags = INDIRECT) =>
  ({ good }: Places): RawDescriptor[] => [[good + TABLE, length, flags, 1]];

const ADDRESS: Case[] = [
  { name: "M1: runs past the end of its region", chain: (at) => [[at.end - 79n, 80, 0, 0]], drop: "DROP_TX_ADDRESS" },
  { name: "M1: runs one byte into the hole", chain: (at) => [[at.hole - 79n, 80, 0, 0]], drop: "DROP_TX_ADDRESS" },
  {
    name: "M1: runs into the hole between regions",
    chain: (at) => [[at.hole - 40n, 80, 0, 0]],
    drop: "DROP_TX_ADDRESS",
  },
  { name: "M1: crosses the hole", chain: (at) => [[at.hole - 40n, 8300, 0, 0]], drop: "DROP_TX_ADDRESS" },
  { name: "M1: lies in the hole", chain: (at) => [[at.hole, 80, 0, 0]], drop: "DROP_TX_ADDRESS" },
  { name: "M1: wraps at 2^64", chain: () => [[TOP - 10n, 80, 0, 0]], drop: "DROP_TX_ADDRESS" },
  { name: "M36: is in no region, below all", chain: () => [[1n, 80, 0, 0]], drop: "DROP_TX_ADDRESS" },
  { name: "M36: is in no region, above all", chain: (at) => [[at.end, 80, 0, 0]], drop: "DROP_TX_ADDRESS" },
  {
    name: "M1: only its last byte is out",
    chain: (at) => [
      [at.good, 60, NEXT, 1],
      [at.end - 1n, 2, 0, 0],
    ],
    drop: "DROP_TX_ADDRESS",
  },
];

const SIZE: Case[] = [
  { name: "M18: one descriptor of 4 GiB - 1", chain: (at) => [[at.good, 0xffff_ffff, 0, 0]], drop: "DROP_TX_OVERSIZE" },
  {
    name: "M18: descriptors whose sum wraps at 2^32 to a small frame",
    chain: (at) => [
      [at.good, 0x8000_0000, NEXT, 1],
      [at.good, 0x8000_0000, NEXT, 2],
      [at.good, 76, 0, 0],
    ],
    drop: "DROP_TX_OVERSIZE",
  },
  {
    name: "M18: 64 KiB and more behind an Ethernet header with two tags",
    chain: (at) => [
      [at.good, HEADER + 14, NEXT, 1],
      [at.good, 65_535, NEXT, 2],
      [at.good, 10, 0, 0],
    ],
    drop: "DROP_TX_OVERSIZE",
  },
  {
    name: "F10: 64 descriptors onto one buffer, together almost 4 GiB",
    chain: (at) =>
      Array.from({ length: RING_SIZE }, (_, i) => [at.good, 0x03ff_ffff, i < RING_SIZE - 1 ? NEXT : 0, i + 1]),
    drop: "DROP_TX_OVERSIZE",
  },
  {
    name: "F10: 64 descriptors of 1526 bytes onto one buffer",
    chain: (at) => Array.from({ length: RING_SIZE }, (_, i) => [at.good, 1526, i < RING_SIZE - 1 ? NEXT : 0, i + 1]),
    drop: "DROP_TX_OVERSIZE",
  },
  ...[0, 1, HEADER - 1, HEADER, HEADER + 1, HEADER + 13].map(
    (length): Case => ({
      name: `M48: a chain of ${length} bytes, header included`,
      chain: (at) => [[at.good, length, 0, 0]],
      drop: "DROP_TX_RUNT",
    }),
  ),
  {
    name: "M48: header and 13 bytes in a descriptor each",
    chain: (at) => [
      [at.good, HEADER, NEXT, 1],
      [at.good, 0, NEXT, 2],
      [at.good, 13, 0, 0],
    ],
    drop: "DROP_TX_RUNT",
  },
];

const DIRECTION: Case[] = [
  { name: "M45: a writable descriptor", chain: (at) => [[at.good, 80, WRITE, 0]], drop: "DROP_TX_DIRECTION" },
  {
    name: "M45: a writable descriptor behind readable ones",
    chain: (at) => [
      [at.good, 80, NEXT, 1],
      [at.good, 80, WRITE, 0],
    ],
    drop: "DROP_TX_DIRECTION",
  },
  {
    name: "M45: a writable descriptor in front of readable ones",
    chain: (at) => [
      [at.good, 80, WRITE | NEXT, 1],
      [at.good, 80, 0, 0],
    ],
    drop: "DROP_TX_DIRECTION",
  },
  {
    name: "M45: a writable descriptor in an indirect table",
    chain: indirect(16),
    table: (at) => [[at.good, 80, WRITE, 0]],
    drop: "DROP_TX_DIRECTION",
    splitOnly: true,
  },
];

const good80 = (at: Places): RawDescriptor[] => [[at.good, 80, 0, 0]];

const TABLES: Case[] = [
  ...[0, 8, 15, 17, 24].map(
    (length): Case => ({
      name: `M17: an indirect table of ${length} bytes`,
      chain: indirect(length),
      table: good80,
      drop: "DROP_TX_INDIRECT",
    }),
  ),
  { name: "M17: a table of 32769 entries", chain: indirect(32_769 * 16), table: good80, drop: "DROP_TX_INDIRECT" },
  { name: "M17: a table of 4 GiB - 16", chain: indirect(0xffff_fff0), table: good80, drop: "DROP_TX_INDIRECT" },
  { name: "M17: INDIRECT with NEXT", chain: indirect(16, INDIRECT | NEXT), table: good80, drop: "DROP_TX_INDIRECT" },
  {
    name: "M17: an indirect table in an indirect table",
    chain: indirect(32),
    table: (at) => [
      [at.good + TABLE, 16, INDIRECT, 0],
      [at.good, 80, 0, 0],
    ],
    drop: "DROP_TX_INDIRECT",
  },
  {
    name: "M17: INDIRECT, not negotiated",
    chain: indirect(16),
    table: good80,
    drop: "DROP_TX_INDIRECT",
    features: VERSION_1,
  },
  {
    name: "M1: a table that runs past its region",
    chain: (at) => [[at.end - 16n, 32, INDIRECT, 0]],
    drop: "DROP_TX_INDIRECT",
  },
  {
    name: "M1: a table whose last byte is out",
    chain: (at) => [[at.end - 31n, 32, INDIRECT, 0]],
    drop: "DROP_TX_INDIRECT",
  },
  {
    name: "M1: a table that crosses a hole",
    chain: (at) => [[at.hole - 16n, 32, INDIRECT, 0]],
    drop: "DROP_TX_INDIRECT",
  },
  { name: "M1: a table that wraps at 2^64", chain: () => [[TOP - 15n, 32, INDIRECT, 0]], drop: "DROP_TX_INDIRECT" },
  { name: "M36: a table in no region", chain: () => [[0n, 16, INDIRECT, 0]], drop: "DROP_TX_INDIRECT" },
  {
    name: "M15: next behind the end of the table",
    chain: indirect(32),
    table: (at) => [
      [at.good, 60, NEXT, 2],
      [at.good, 80, 0, 0],
    ],
    drop: "DROP_TX_INDIRECT",
    splitOnly: true,
  },
  {
    name: "M14: a loop in a table",
    chain: indirect(32),
    table: (at) => [
      [at.good, 1, NEXT, 1],
      [at.good, 1, NEXT, 0],
    ],
    drop: "DROP_TX_INDIRECT",
    splitOnly: true,
  },
  {
    name: "M14: an empty descriptor in a table that names itself",
    chain: indirect(16),
    table: (at) => [[at.good, 0, NEXT, 0]],
    drop: "DROP_TX_INDIRECT",
    splitOnly: true,
  },
];

describe.each(VARIANTS)("refused chains, $target build, $form ring", ({ target, form, ring }) => {
  const all = [...ADDRESS, ...SIZE, ...DIRECTION, ...TABLES];
  test.each(all.filter(({ splitOnly }) => form === "split" || !splitOnly))(
    "$name: $drop",
    async ({ chain, table, drop, features = FEATURES }) => {
      const scene = await HostileScene.create(target, features | ring);
      const { hostile, at } = scene;
      const framesBefore = hostile.queue(1).counters().frames;
      if (table) scene.table(at.good + TABLE, table(at));
      scene.offer(1, chain(at));
      scene.settle();
      expect(hostile.drops(1)).toEqual({ [drop]: 1 });
      expect(hostile.queue(1).counters().frames).toBe(framesBefore + 1);
      expect(scene.used(1)).toEqual([[0, 0]]);
      expect(hostile.state(1)).toBe("QUEUE_OK");
      expect(scene.peer.receive()).toEqual([]);
      scene.expectOthersGoOn();
      scene.expectReceives();
      // The queue goes on by itself: the next chain is good.
      const bytes = frame(2, 1, 77);
      hostile.write(at.good, new Uint8Array(HEADER));
      hostile.write(at.good + BigInt(HEADER), bytes);
      scene.offer(1, [[at.good, HEADER + bytes.length, 0, 0]], 9);
      scene.settle();
      expect(scene.used(1)).toEqual([
        [0, 0],
        [9, 0],
      ]);
      expect(scene.peer.receive()).toEqual([bytes]);
    },
  );

  test("a header that lies outside the guest's memory: the frame behind it is refused too", async () => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    const bytes = frame(2, 1, 64);
    scene.hostile.write(scene.at.good, bytes);
    scene.offer(1, [
      [scene.at.hole, HEADER, NEXT, 1],
      [scene.at.good, bytes.length, 0, 0],
    ]);
    scene.settle();
    expect(scene.peer.receive()).toEqual([]);
    expect(scene.hostile.drops(1)).toEqual({ DROP_TX_ADDRESS: 1 });
  });

  test("M6: refused chains between good ones of one burst: each is given back, the good ones arrive", async () => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    const { at, hostile } = scene;
    const good = frame(2, 1, 64);
    hostile.write(at.good + BigInt(HEADER), good);
    const length = HEADER + good.length;
    const bad = [...ADDRESS, ...SIZE.slice(5), ...DIRECTION.slice(0, 1)].filter(({ chain }) => chain(at).length === 1);
    for (const [i, { chain }] of bad.entries()) {
      scene.offer(1, chain(at), 2 * i);
      scene.offer(1, [[at.good, length, 0, 0]], 2 * i + 1);
    }
    scene.settle();
    expect(scene.used(1)).toEqual(Array.from({ length: 2 * bad.length }, (_, i) => [i, 0]));
    expect(scene.peer.receive()).toEqual(bad.map(() => good));
    const byCause: Record<string, number> = {};
    for (const { drop } of bad) byCause[drop] = (byCause[drop] ?? 0) + 1;
    expect(hostile.drops(1)).toEqual(byCause);
  });
});

describe.each(VARIANTS)("broken transmitqs, $target build, $form ring", ({ target, form, ring }) => {
  const splitCases: { name: string; state: string; offer: (scene: HostileScene) => void }[] = [
    {
      name: "M14: a descriptor names itself",
      state: "QUEUE_CHAIN_LOOP at 5",
      offer: (scene) => scene.offer(1, [[scene.at.good, 1, NEXT, 5]], 5),
    },
    {
      name: "M14: an empty descriptor names itself",
      state: "QUEUE_CHAIN_LOOP at 5",
      offer: (scene) => scene.offer(1, [[scene.at.good, 0, NEXT, 5]], 5),
    },
    {
      name: "M14: two descriptors name each other",
      state: "QUEUE_CHAIN_LOOP at 3",
      offer: (scene) =>
        scene.offer(
          1,
          [
            [scene.at.good, 1, NEXT, 4],
            [scene.at.good, 1, NEXT, 3],
          ],
          3,
        ),
    },
    {
      name: "M15: next is the ring's size",
      state: `QUEUE_BAD_NEXT at ${RING_SIZE}`,
      offer: (scene) => scene.offer(1, [[scene.at.good, 20, NEXT, RING_SIZE]]),
    },
    {
      name: "M15: next is 65535",
      state: "QUEUE_BAD_NEXT at 65535",
      offer: (scene) => scene.offer(1, [[scene.at.good, 20, NEXT, 65_535]]),
    },
    {
      name: "M15: the head is the ring's size",
      state: `QUEUE_BAD_HEAD at ${RING_SIZE}`,
      offer: (scene) => scene.offer(1, [], 0, RING_SIZE),
    },
    {
      name: "M15: the head is 65535",
      state: "QUEUE_BAD_HEAD at 65535",
      offer: (scene) => scene.offer(1, [], 0, 65_535),
    },
    ...[RING_SIZE + 1, 32_768, 65_535].map((index) => ({
      name: `M16: the avail index jumps to ${index}`,
      state: `QUEUE_BAD_AVAIL_INDEX at ${index}`,
      offer: (scene: HostileScene) => {
        const avail = scene.hostile.memory.at(scene.hostile.driver(1).ring.avail);
        scene.sw.bridge.views.data.setUint16(avail + 2, index, true);
      },
    })),
  ];

  /** Descriptors all round a packed ring, each of which says that there is a next one. */
  const endless = (at: Places, length: number): RawDescriptor[] =>
    Array.from({ length: RING_SIZE }, () => [at.good, length, NEXT, 0]);
  const packedCases: typeof splitCases = [
    {
      name: "M14: a chain without end",
      state: "QUEUE_CHAIN_LOOP at 0",
      offer: (scene) => scene.offer(1, endless(scene.at, 1)),
    },
    {
      name: "M14: a chain without end that has nothing in it",
      state: "QUEUE_CHAIN_LOOP at 0",
      offer: (scene) => scene.offer(1, endless(scene.at, 0)),
    },
    {
      name: "M14: a chain without end that is refused for its first descriptor",
      state: "QUEUE_CHAIN_LOOP at 0",
      offer: (scene) => scene.offer(1, endless(scene.at, 0xffff_ffff)),
    },
  ];

  test.each(form === "split" ? splitCases : packedCases)("$name: $state", async ({ state, offer }) => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    const { hostile, sw } = scene;
    offer(scene);
    scene.settle();
    expect(hostile.state(1)).toBe(state);
    expect(scene.used(1)).toEqual([]);
    expect(hostile.drops(1)).toEqual({});
    // It stays stopped whatever comes, the guest's receiveq and everybody else go on.
    scene.offer(1, [[scene.at.good, 80, 0, 0]]);
    expect(sw.poll()).toBe(0);
    expect(scene.used(1)).toEqual([]);
    scene.expectReceives();
    scene.expectOthersGoOn();
    await hostile.restartQueue(1);
    expect(hostile.state(1)).toBe("QUEUE_OK");
    scene.expectTransmits();
  });

  test.runIf(form === "split")("the chains in front of the broken one are sent and given back", async () => {
    const scene = await HostileScene.create(target);
    const bytes = frame(2, 1, 64);
    scene.hostile.write(scene.at.good + BigInt(HEADER), bytes);
    for (const head of [7, 8, 9]) scene.offer(1, [[scene.at.good, HEADER + 64, 0, 0]], head);
    scene.offer(1, [], 0, 1000);
    scene.settle();
    expect(scene.hostile.state(1)).toBe("QUEUE_BAD_HEAD at 1000");
    expect(scene.used(1)).toEqual([
      [7, 0],
      [8, 0],
      [9, 0],
    ]);
    expect(scene.peer.receive()).toEqual([bytes, bytes, bytes]);
  });

  test.runIf(form === "packed")("M15: an id that no descriptor can have is given back as it was", async () => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    const bytes = frame(2, 1, 64);
    scene.hostile.write(scene.at.good + BigInt(HEADER), bytes);
    for (const id of [RING_SIZE, 65_535, 65_535]) scene.offer(1, [[scene.at.good, HEADER + 64, 0, 0]], 0, id);
    scene.settle();
    expect(scene.used(1)).toEqual([
      [RING_SIZE, 0],
      [65_535, 0],
      [65_535, 0],
    ]);
    expect(scene.peer.receive()).toEqual([bytes, bytes, bytes]);
  });

  test.runIf(form === "packed")("M6: of a burst of single descriptors each is checked for itself", async () => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    const { at, hostile } = scene;
    const bytes = frame(2, 1, 64);
    hostile.write(at.good + BigInt(HEADER), bytes);
    // Groups of four, as batching back-ends take them, with each of the four bad in its turn.
    const bad: RawDescriptor[] = [
      [at.hole, HEADER + 64, 0, 0],
      [at.good, 0, 0, 0],
      [TOP - 5n, HEADER + 64, 0, 0],
      [at.good, HEADER + 64, WRITE, 0],
    ];
    for (const [turn, descriptor] of bad.entries()) {
      for (let i = 0; i < 4; i++) {
        scene.offer(1, [i === turn ? descriptor : [at.good, HEADER + 64, 0, 0]], 4 * turn + i);
      }
    }
    scene.settle();
    expect(scene.used(1)).toEqual(Array.from({ length: 16 }, (_, id) => [id, 0]));
    expect(hostile.drops(1)).toEqual({ DROP_TX_ADDRESS: 2, DROP_TX_RUNT: 1, DROP_TX_DIRECTION: 1 });
    expect(scene.peer.receive()).toEqual(Array.from({ length: 12 }, () => bytes));
  });

  test.runIf(form === "packed")(
    "an indirect table is used as a whole: NEXT, WRITE, AVAIL and USED mean nothing in it",
    async () => {
      const scene = await HostileScene.create(target, FEATURES | ring);
      const { at, hostile } = scene;
      const bytes = frame(2, 1, 64);
      hostile.write(at.good + BigInt(HEADER), bytes);
      scene.table(at.good + TABLE, [
        // As DPDK's driver has its header there.
        [at.good, 12, WRITE | NEXT, 0],
        [at.good + 12n, 28, 0x8080, 0xffff],
        [at.good + 40n, 30, NEXT, 0],
        [at.good + 70n, 6, NEXT | 0x8000, 0],
      ]);
      scene.offer(1, [[at.good + TABLE, 64, INDIRECT, 0]], 0, 3);
      scene.settle();
      expect(scene.used(1)).toEqual([[3, 0]]);
      expect(scene.peer.receive()).toEqual([bytes]);
    },
  );

  test("a disabled transmitq gives back what it holds unread, counted, and goes on when it is enabled", async () => {
    const scene = await HostileScene.create(target, FEATURES | ring);
    const { hostile, sw } = scene;
    await sw.bridge.setEnabled(hostile.port, 1, false);
    hostile.send(frame(2, 1, 64));
    hostile.send(frame(2, 1, 64));
    scene.settle();
    expect(hostile.drops(1)).toEqual({ DROP_DISABLED: 2 });
    expect(hostile.reclaim()).toBe(2);
    expect(scene.peer.receive()).toEqual([]);
    await sw.bridge.setEnabled(hostile.port, 1, true);
    scene.expectTransmits();
  });
});
