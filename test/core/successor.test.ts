// A switch with packed rings that is killed at any store of a burst, and its successor over the same memory. The states
// between two stores are written by hand, as assembly/virtq/packed.ts makes them: nothing else can stop there.

import { describe, expect, test } from "vitest";
import {
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../assembly/spec/virtio.js";
import type { RingInMemory } from "../../src/core/bridge-port.js";
import { bits } from "../../src/core/feature-bits.js";
import { inflightBytes, openInflight } from "../../src/core/inflight.js";
import { frame, TARGETS, type Target, TestGuest, TestSwitch } from "./support/bench-guest.js";
import { testMemory } from "./support/test-switch.js";

const FEATURES = bits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_INDIRECT_DESC);
/** Room for the burst to come twice. */
const SIZE = 20;
const BUFFER = 100;
/** Frames of the burst, and the receive buffers that each takes with its header. */
const LENGTHS = [60, 250, 61, 380];
const CHAINS = [1, 3, 1, 4];
const SHAPES = [{}, { pieces: [12] }, { indirect: true, pieces: [20, 30] }, { pieces: [1, 30] }];
const POSITION = 0x7fff;

/** A ring of a guest and its part of the area. */
interface Place {
  guest: TestGuest;
  index: number;
  ring: RingInMemory;
  area: number;
}

interface Step {
  store: () => void;
  /** The driver sees a frame from here on: one to it, or one of its own come back. */
  tells?: "receiver" | "sender";
}

describe.each(TARGETS)("killed within a burst, %s build", (target) => {
  const memory = testMemory();

  describe.each([
    ["over its end", 0x8000 | (SIZE - 4)],
    ["over its end, in the other round", SIZE - 6],
  ])("%s", (_, first) => {
    test.each([
      ["look at once", true],
      ["sleep meanwhile", false],
    ])(
      "no frame is lost or comes in part, and only what its sender was not told comes twice; drivers %s",
      async (_, look) => {
        let steps = Number.POSITIVE_INFINITY;
        for (let killed = 0; killed <= steps; killed++) {
          const scene = await Scene.create(target, memory, first);
          const all = scene.burst();
          steps = all.length;
          const told = { receiver: 0, sender: 0 };
          for (const { store, tells } of all.slice(0, killed)) {
            store();
            if (tells) told[tells]++;
          }
          const got: number[] = [];
          let back = 0;
          const collect = () => {
            got.push(...scene.receiver.receive(0, true).map(({ length }) => length));
            back += scene.sender.reclaim();
          };
          if (look) collect();
          const successor = await scene.succeed();
          successor.settle();
          collect();
          const where = `killed after ${killed} of ${steps} stores`;
          expect(got, where).toEqual([...LENGTHS.slice(0, told.receiver), ...LENGTHS.slice(told.sender)]);
          expect(back, where).toBe(LENGTHS.length);
          // Both rings go on, round and round.
          for (let i = 0; i < SIZE + 4; i++) {
            const bytes = frame(1, 2, 60 + 37 * (i % 8), i);
            scene.sender.send(bytes);
            successor.settle();
            expect(scene.receiver.receive(0, true), where).toEqual([bytes]);
            expect(scene.sender.reclaim(), where).toBe(1);
          }
        }
        expect(steps).toBe(5 * 2 + 13 + 17 + 5 * 4);
      },
    );
  });
});

class Scene {
  static async create(target: Target, memory: WebAssembly.Memory, firstIndex: number): Promise<Scene> {
    const sw = new TestSwitch({ target, memory });
    const options = { features: FEATURES, size: SIZE, firstIndex, ramBytes: 64 * 1024, rxBufferBytes: BUFFER };
    const receiver = await TestGuest.create(sw, { ...options, rxBuffers: SIZE });
    const sender = await TestGuest.create(sw, { ...options, rxBuffers: 0 });
    const places = [receiver, sender].flatMap((guest) =>
      [0, 1].map((index): Place => {
        const { struct } = guest.queue(index);
        const [desc, avail, used] = (["desc", "avail", "used"] as const).map((field) => struct.get(field));
        const ring = { size: SIZE, desc: desc!, avail: avail!, used: used!, packed: true, nextAvail: firstIndex };
        const bytes = inflightBytes(SIZE, true);
        const area = guest.spans(guest.allocate(bytes, 64), bytes)[0]!.offset;
        openInflight(sw.bridge.views.data, area, ring, FEATURES);
        struct.set("inflight", area);
        return { guest, index, ring, area };
      }),
    );
    return new Scene(target, sw, receiver, sender, places);
  }

  private constructor(
    private readonly target: Target,
    private readonly sw: TestSwitch,
    readonly receiver: TestGuest,
    readonly sender: TestGuest,
    private readonly places: Place[],
  ) {}

  private get data(): DataView {
    return this.sw.bridge.views.data;
  }

  /** Lets a burst go, undoes what the drivers were told of it, and returns the stores that tell them, in order. */
  burst(): Step[] {
    LENGTHS.forEach((length, i) => {
      this.sender.send(frame(1, 2, length, i), SHAPES[i]);
    });
    const before = this.places.map((place) => this.image(place));
    this.sw.poll();
    const [receiveq, , , transmitq] = this.places as [Place, Place, Place, Place];
    const steps = [
      ...this.stores(receiveq, before[0]!, CHAINS, "receiver"),
      ...this.stores(transmitq, before[3]!, [1, 1, 1, 1], "sender"),
    ];
    this.places.forEach((place, i) => {
      this.restore(place, before[i]!);
    });
    return steps;
  }

  /** Another switch, which is told nothing of where the rings stood. */
  async succeed(): Promise<TestSwitch> {
    const sw = new TestSwitch({ target: this.target, memory: this.sw.memory });
    for (const guest of [this.receiver, this.sender]) {
      const port = sw.bridge.addPort();
      port.features = FEATURES;
      await sw.bridge.setRegions(port, guest.regions);
      for (const { index, ring, area } of this.places.filter((place) => place.guest === guest)) {
        const nextAvail = openInflight(this.data, area, { ...ring, nextAvail: 0x8001 }, FEATURES);
        const options = { callFd: 1, enabled: true, worker: 0 };
        await sw.bridge.startQueue(port, index, { ...ring, nextAvail, inflight: area }, options);
      }
    }
    return sw;
  }

  /** What publishNoted stores for frames of so many chains each, `before` being what it found. */
  private stores(place: Place, before: Uint8Array, frames: number[], tells: "receiver" | "sender"): Step[] {
    const { data } = this;
    const { ring, area } = place;
    const end = place.guest.queue(place.index).struct.get("nextAvail");
    const old = new DataView(before.buffer, before.byteOffset);
    const cursors: number[] = [];
    for (let i = 0, cursor = ring.nextAvail; i < SIZE; i++, cursor = after(cursor)) {
      const at = 16 * (cursor & POSITION) + 8;
      if (old.getBigUint64(at, true) !== data.getBigUint64(ring.desc + at, true)) cursors.push(cursor);
    }
    expect(cursors).toHaveLength(frames.reduce((sum, chains) => sum + chains, 0));
    const use = (cursor: number): Step => {
      const at = ring.desc + 16 * (cursor & POSITION) + 8;
      const used = data.getBigUint64(at, true);
      return { store: () => data.setBigUint64(at, used, true) };
    };
    const entry = (cursor: number) => area + 32 + 32 * (cursor & POSITION);
    const note = (index: number, wrap: number, cursor: number): Step[] => [
      { store: () => data.setUint16(area + index, cursor & POSITION, true) },
      { store: () => data.setUint8(area + wrap, cursor >>> 15) },
    ];
    return frames.flatMap((chains) => {
      const [first, ...rest] = cursors.splice(0, chains) as [number, ...number[]];
      rest.reverse();
      const next = cursors[0] ?? end;
      const kept = rest.flatMap((cursor): Step[] => [
        {
          store: () =>
            data.setBigUint64(entry(cursor) + 16, old.getBigUint64(16 * (cursor & POSITION) + 8, true), true),
        },
        { store: () => data.setUint8(entry(cursor), 1) },
      ]);
      const forgotten = rest.map((cursor): Step => ({ store: () => data.setUint8(entry(cursor), 0) }));
      const told = { ...use(first), tells };
      return [...kept, ...note(16, 20, next), ...rest.map(use), told, ...note(18, 21, next), ...forgotten];
    });
  }

  private image({ ring, area }: Place): Uint8Array {
    const { bytes } = this.sw.bridge.views;
    const [ends, size] = [ring.desc + 16 * SIZE, inflightBytes(SIZE, true)];
    return Uint8Array.from([...bytes.subarray(ring.desc, ends), ...bytes.subarray(area, area + size)]);
  }

  private restore({ ring, area }: Place, image: Uint8Array): void {
    const { bytes } = this.sw.bridge.views;
    bytes.set(image.subarray(0, 16 * SIZE), ring.desc);
    bytes.set(image.subarray(16 * SIZE), area);
  }
}

function after(cursor: number): number {
  const position = (cursor & POSITION) + 1;
  return position === SIZE ? ~cursor & 0x8000 : position | (cursor & 0x8000);
}
