// The traced core is the release core: take the tracing out and its code is the same; with it, the same frames leave the same
// memory behind; and what it reports is all that it does.

import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { createMemory } from "../../src/core/module.js";
import { loadModule } from "../../src/core/wasm-files.js";
import { instantiateTraced, type Tracer } from "../../src/explore/machine/traced-core.js";
import { CoreSwitch } from "../../src/testing/core-switch.js";
import { GuestDevice } from "../../src/testing/device.js";
import { Random } from "../../src/testing/random.js";
import { instruction, Reader, SECTION, sectionsOf } from "../../tools/traced/wasm.mjs";
import { frame } from "../core/support/frames.js";
import { runs } from "../sample.js";
import { built, sites, table, tracedModule } from "./support/traced.js";

const MIB = 16;
const MODERN = bits(VIRTIO_F_VERSION_1, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX);
const GUESTS = [
  { features: MODERN, size: 64, rxBufferBytes: 2048 },
  { features: MODERN | bits(VIRTIO_F_RING_PACKED, VIRTIO_NET_F_MRG_RXBUF), size: 48, rxBufferBytes: 300 },
  { features: 0n, size: 32, rxBufferBytes: 1600 },
];

/** Says nothing: the module's own calls are what is tested. */
const SILENT: Tracer = { access: () => {}, range: () => {} };

class Rig {
  readonly memory = createMemory(MIB * 16);
  readonly sw: CoreSwitch;
  readonly guests: GuestDevice[] = [];

  constructor(tracer?: Tracer) {
    const traced = tracer && {
      module: tracedModule,
      instantiate: (module: WebAssembly.Module, memory: WebAssembly.Memory) =>
        instantiateTraced(module, memory, sites, tracer),
    };
    this.sw = new CoreSwitch({ module: loadModule("core").module, memory: this.memory, ...traced });
    // The one number that a bridge draws for itself.
    this.sw.bridge.workers[0]!.set("fragmentId", 1);
  }

  async start(): Promise<this> {
    for (const options of GUESTS) {
      const guest = new GuestDevice(this.sw, options);
      await guest.start();
      this.guests.push(guest);
    }
    return this;
  }

  /** Up to 40 random frames, a look at the rings, and all buffers given anew. */
  round(random: Random, bytes: number): number {
    const count = random.integer(1, 40);
    let sent = 0;
    const free = this.guests.map(({ ram }) => ram.mark());
    for (let i = 0; i < count; i++) {
      const from = random.integer(0, GUESTS.length - 1);
      const to = random.chance(0.1) ? [255, 255, 255, 255, 255, 255] : random.integer(1, GUESTS.length + 1);
      const pieces = random.chance(0.3) ? [random.integer(1, 60), random.integer(1, 60)] : [];
      const indirect = from < 2 && pieces.length > 0 && random.chance(0.5);
      const length = random.integer(14, bytes);
      if (this.guests[from]!.transmit(frame(to, from + 1, length, i), { pieces, indirect })) sent++;
    }
    this.sw.settle();
    if (random.chance(0.3) && !this.sw.arm()) this.sw.disarm();
    this.sw.takeCalls();
    for (const guest of this.guests) {
      guest.reclaim();
      guest.receiveWithHeaders(0, true);
      guest.rx[0]!.wantCalls(random.chance(0.5));
    }
    for (const release of free) release();
    return sent;
  }

  get bytes(): Buffer {
    return Buffer.from(this.memory.buffer as unknown as ArrayBuffer);
  }
}

function isRange(memory: object): boolean {
  return "range" in memory;
}

/** The instructions of each function, as bytes; calls as their function's number alone. */
function* code(bytes: Uint8Array): Generator<{ at: number; bytes: Uint8Array; index?: number; memory?: object }[]> {
  const { start } = sectionsOf(bytes).find(({ id }: { id: number }) => id === SECTION.code)!;
  const reader = new Reader(bytes, start);
  for (let left = reader.u32(); left > 0; left--) {
    const end = reader.u32() + reader.at;
    for (let groups = reader.u32(); groups > 0; groups--) {
      reader.u32();
      reader.byte();
    }
    const found = [];
    while (reader.at < end) {
      const { at, index, memory } = instruction(reader);
      found.push({ at, bytes: bytes.subarray(at, reader.at), index, memory });
    }
    yield found;
  }
}

test("without the calls to the tracer its code is the release build's, instruction by instruction", () => {
  const [release, traced] = [built("core.release.wasm"), built("core.traced.wasm")];
  const [LOCAL_GET, LOCAL_SET, LOCAL_TEE, CONST] = [0x20, 0x21, 0x22, 0x41];
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(release));
  const imported = imports.filter(({ kind }) => kind === "function").length;
  let sitesSeen = 0;
  const functions = [...code(traced)];
  for (const [number, plain] of [...code(release)].entries()) {
    const found = functions[number]!;
    let at = 0;
    for (const { bytes, index, memory } of plain) {
      if (memory !== undefined) {
        // One call to the tracer stands in front, with moves between stack and locals around it, and nothing else.
        const inserted = [];
        for (; found[at]!.memory === undefined; at++) inserted.push(found[at]!);
        const calls = inserted.filter(({ index: called }) => called !== undefined);
        expect(calls.map(({ index: called }) => called! - imported)).toEqual([isRange(memory) ? 1 : 0]);
        for (const one of inserted) {
          if (!calls.includes(one)) expect([LOCAL_GET, LOCAL_SET, LOCAL_TEE, CONST]).toContain(one.bytes[0]);
        }
        sitesSeen++;
      }
      const { index: called, bytes: same } = found[at]!;
      if (index === undefined) expect(Buffer.compare(same, bytes)).toBe(0);
      else expect(called).toBe(index < imported ? index : index + 2);
      at++;
    }
    expect(at).toBe(found.length);
  }
  expect(sitesSeen).toBe(sites.count);
  const names = (bytes: BufferSource) => WebAssembly.Module.exports(new WebAssembly.Module(bytes));
  expect(names(traced)).toEqual(names(release));
});

test("random frames leave the same memory behind, byte for byte", async () => {
  const [plain, traced] = [await new Rig().start(), await new Rig(SILENT).start()];
  expect(Buffer.compare(plain.bytes, traced.bytes)).toBe(0);
  const [one, other] = [new Random(1), new Random(1)];
  let frames = 0;
  for (let round = 0; frames < runs(10_000); round++) {
    frames += plain.round(one, 1500);
    traced.round(other, 1500);
    if (round % 20 === 0) expect(Buffer.compare(plain.bytes, traced.bytes), `round ${round}`).toBe(0);
  }
  expect(Buffer.compare(plain.bytes, traced.bytes)).toBe(0);
  const counted = plain.guests.flatMap(({ port }) => [...port.queues.values()].map((queue) => queue.counters().frames));
  expect(Math.min(...counted)).toBeGreaterThan(runs(300));
});

test("no byte of memory changes but by an access that was reported", async () => {
  const written = new Set<number>();
  const note = (at: number, length: number) => {
    for (let i = 0; i < length; i++) written.add(at + i);
  };
  const rig = await new Rig({
    access: (site, address) => {
      const { kind, size } = sites.get(site);
      if (kind !== "read") note(address, size);
    },
    range: (_, to, __, length) => note(to, length),
  }).start();
  const random = new Random(7);
  const views = new Uint8Array(rig.memory.buffer);
  for (let round = 0; round < 4; round++) {
    rig.round(random, 300);
    for (const [i, guest] of rig.guests.entries()) guest.transmit(frame(((i + 1) % 3) + 1, i + 1, 900, round), {});
    const before = views.slice();
    written.clear();
    rig.sw.settle();
    let changed = 0;
    for (let at = 0; at < before.length; at++) {
      if (before[at] === views[at]) continue;
      changed++;
      if (!written.has(at)) throw new Error(`byte ${at} changed, and no access was reported`);
    }
    expect(changed).toBeGreaterThan(900);
  }
});

test("the table is of these builds, and says of each access where it stands in the sources", () => {
  const sha256 = (name: string) => createHash("sha256").update(built(name)).digest("hex");
  expect(table.release).toBe(sha256("core.release.wasm"));
  expect(table.traced).toBe(sha256("core.traced.wasm"));
  let named = 0;
  for (let number = 0; number < sites.count; number++) {
    const site = sites.get(number);
    if (!site.file.startsWith("assembly/")) continue;
    expect(site.text, `${site.file}:${site.line}`).not.toBe("");
    if (site.function !== undefined) named++;
  }
  expect(named).toBeGreaterThan(sites.count * 0.99);
  const publish = Array.from({ length: sites.count }, (_, i) => sites.get(i)).filter(
    ({ function: within, kind }) => within?.name === "publishUsedIndex" && kind === "write",
  );
  expect(publish.find(({ atomic }) => atomic)).toMatchObject({
    file: "assembly/virtq/split.ts",
    size: 2,
    offset: 2,
    text: "atomic.store<u16>(queue.used, <u16>used, 2);",
    clauses: ["2.7.8"],
  });
  const { file, line } = publish.find(({ atomic }) => atomic)!;
  expect(sites.onLine(file, line).length).toBeGreaterThan(0);
});
