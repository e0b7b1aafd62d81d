// The load driver against the core, in one memory: what it sends arrives whole, on every kind of ring.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { loadModule } from "../../src/core/wasm-files.js";
import { bufferBytesFor, instantiateDriver, latencyQuantile } from "../../src/guest/driver.js";
import { FRAME_MIN } from "../../src/guest/driver-layout.js";
import { frameSizes, IMIX, TSO_FRAME } from "../../src/guest/traffic.js";
import { TARGETS } from "../core/support/test-switch.js";
import { sectionIds } from "../core/support/wasm-sections.js";
import { CLEAN, type DriverGuest, FEATURES, faults, nextReceived, pair, transfer } from "./support/driver-guest.js";
import { cases } from "../sample.js";

describe("the module", () => {
  test.each(["release", "checked", "browser"] as const)("%s imports the memory only and has no data", (target) => {
    const { module } = loadModule("driver", target);
    expect(WebAssembly.Module.imports(module).map((i) => `${i.module}.${i.name}`)).toEqual(["env.memory"]);
    expect(sectionIds(readFileSync(`dist/wasm/driver.${target}.wasm`))).not.toContain(DATA_SECTION);
  });
});

const DATA_SECTION = 11;

describe.each(TARGETS)("load driver, %s build", (target) => {
  describe.each(cases(Object.entries(FEATURES)))("%s", (_, features) => {
    test("frames of every length from the shortest on arrive whole and in order", async () => {
      const { a, b } = await pair({ target, features });
      const sizes = Array.from({ length: 200 }, (_, i) => FRAME_MIN + i).concat([570, 1024, 1500, 1514, 1517, 1518]);
      a.tx.setTraffic(sizes, true);
      expect(transfer(a, b, sizes.length * 3)).toBe(sizes.length * 3);
      expect(b.rx.counters()).toEqual({
        ...CLEAN,
        frames: sizes.length * 3,
        bytes: sizes.reduce((sum, size) => sum + size, 0) * 3,
      });
    });

    test("both ways at once, through several turns of the ring and of its index", async () => {
      const { sw, a, b } = await pair({ target, features, size: 64 });
      for (const guest of [a, b]) guest.tx.setTraffic(IMIX, true);
      let sent = 0;
      let received = 0;
      while (sent < 140_000) {
        for (const guest of [a, b]) sent += guest.tx.send(48) >>> 1;
        sw.settle();
        for (const guest of [a, b]) received += guest.rx.receive(64, "sequence") >>> 1;
      }
      expect(received).toBe(sent);
      for (const guest of [a, b]) expect(faults(guest.rx.counters())).toEqual(CLEAN);
      expect(a.flows.seen(1)).toBe(b.flows.sent(1));
    });
  });

  test.each([1, 3, 100, 257, 20_001])("a packed ring of %i entries, round after round", async (size) => {
    for (const features of [FEATURES.packed, FEATURES.packedInOrder]) {
      const { a, b } = await pair({ target, features, size, frameBytes: 64 });
      const count = size > 1000 ? 2 * size + 5 : 10 * size + 5;
      expect(transfer(a, b, count, 64)).toBe(count);
      expect(b.rx.counters()).toEqual({ ...CLEAN, frames: count, bytes: count * FRAME_MIN });
      expect(a.tx.reclaim()).toBe(0);
      expect(a.tx.fault ?? b.rx.fault).toBeUndefined();
    }
  });

  test("in order, one used descriptor of a packed ring gives back a batch", async () => {
    const { sw, a } = await pair({ target, features: FEATURES.packedInOrder, size: 5 });
    const { data } = sw.bridge.views;
    /** As the device does it: one descriptor at a position, with the id of the batch's last buffer. */
    const use = (position: number, id: number, flags: number) => {
      data.setUint16(a.tx.place.desc + position * 16 + 12, id, true);
      data.setUint16(a.tx.place.desc + position * 16 + 14, flags, true);
    };
    const USED = 0x8080;
    expect(a.tx.send(5) >>> 1).toBe(5);
    use(0, 2, USED);
    expect(a.tx.reclaim()).toBe(2);
    expect(a.tx.send(5) >>> 1).toBe(3);
    use(3, 1, USED);
    expect(a.tx.reclaim()).toBe(1);
    use(2, 2, 0);
    expect(a.tx.reclaim()).toBe(0);
    expect(a.tx.fault).toBeUndefined();
    a.tx.send(2);
    use(3, 0, 0);
    expect(a.tx.reclaim()).toBe(0);
    expect(a.tx.fault).toContain("gave back buffer 0, which it did not have");
  });

  test.each([
    ["split", FEATURES.mergeable],
    ["packed", FEATURES.packedMergeable],
  ])("large frames are put together from merged buffers and checked to the last byte, %s", async (_, features) => {
    const { sw, a, b } = await pair({
      target,
      features,
      size: 64,
      frameBytes: 65535,
      rxBufferBytes: bufferBytesFor(2048),
    });
    a.tx.setTraffic([65535, 2000, 9014, 33333, FRAME_MIN], true);
    expect(transfer(a, b, 50, 1)).toBe(50);
    expect(faults(b.rx.counters())).toEqual(CLEAN);
    // The last byte of a frame in four buffers.
    a.tx.setTraffic([8000], true);
    a.tx.send(1);
    const last = lastByte(a, 8000);
    sw.bridge.views.bytes[last]! ^= 1;
    sw.settle();
    b.rx.receive(64);
    expect(b.rx.counters().corrupt).toBe(1);
  });

  describe.each([
    ["split", FEATURES.segmentation],
    ["packed", FEATURES.packedSegmentation],
  ])("segmentation offload, %s", (_, features) => {
    const shape = { target, features, size: 64, frameBytes: TSO_FRAME };

    test("long frames are TCP over IPv4 with right headers, short ones are as ever", async () => {
      const { sw, a } = await pair(shape);
      a.tx.setTraffic([TSO_FRAME, 100, 3000], true);
      a.tx.send(6);
      const { bytes } = sw.bridge.views;
      for (const [i, length] of [TSO_FRAME, 100, 3000, TSO_FRAME, 100, 3000].entries()) {
        const at = a.tx.place.buffers + i * a.tx.place.bufferBytes;
        const header = Buffer.from(bytes.slice(at, at + 12));
        const frame = Buffer.from(bytes.slice(at + 12, at + 12 + length));
        if (length === 100) {
          expect(header).toEqual(Buffer.alloc(12));
          continue;
        }
        expect([header[0], header[1], header.readUInt16LE(2), header.readUInt16LE(4)]).toEqual([1, 1, 54, 1448]);
        expect([header.readUInt16LE(6), header.readUInt16LE(8)]).toEqual([34, 16]);
        expect(frame.subarray(0, 14).toString("hex")).toBe("0200000100000200000000000800");
        expect(frame.readUInt16BE(16)).toBe(length - 14);
        expect([frame[14], frame[23], frame[46]]).toEqual([0x45, 6, 0x50]);
        expect(onesSum(frame.subarray(14, 34))).toBe(0xffff);
        const pseudo = Buffer.concat([frame.subarray(26, 34), Buffer.from([0, 6, 0, 0])]);
        pseudo.writeUInt16BE(length - 34, 10);
        expect(frame.readUInt16BE(50)).toBe(onesSum(pseudo));
      }
    });

    test("they arrive whole over merged buffers, and every changed byte is noticed", async () => {
      const { sw, a, b } = await pair({ ...shape, rxBufferBytes: 4096 });
      a.tx.setTraffic([TSO_FRAME, 64, 1600, 1502, 1503], true);
      expect(transfer(a, b, 60, 2)).toBe(60);
      expect(faults(b.rx.counters())).toEqual(CLEAN);
      const { bytes } = sw.bridge.views;
      a.tx.setTraffic([1503], true);
      // The last two bytes of the virtio_net header say in how many buffers the frame is.
      const places = Array.from({ length: 1503 + 10 }, (_, i) => (i < 10 ? i : i + 2));
      for (const [i, place] of places.entries()) {
        a.tx.send(1);
        sw.settle();
        bytes[nextReceived(b) + place]! ^= 0x04;
        b.rx.receive(1);
        const { corrupt, foreign } = b.rx.counters();
        expect([place, corrupt + foreign]).toEqual([place, i + 1]);
      }
    });

    test("where the payload is not looked at, frames are not put together, and counted all the same", async () => {
      const { sw, a, b } = await pair({ ...shape, rxBufferBytes: 4096 });
      a.tx.setTraffic([TSO_FRAME], false);
      for (let i = 0; i < 20; i++) {
        a.tx.send(3, 1);
        sw.settle();
        expect(b.rx.receive(64, "sequence", 9) >>> 1).toBe(3);
      }
      expect(b.rx.counters()).toEqual({ ...CLEAN, frames: 60, bytes: 60 * TSO_FRAME });
      expect(latencyQuantile(b.rx.latencies(), 1)).toBe(8);
    });
  });

  test("a burst is limited by the ring and by what the device has given back", async () => {
    const { sw, a } = await pair({ target, features: FEATURES.modern, size: 64 });
    expect(a.tx.send(1000) >>> 1).toBe(64);
    expect(a.tx.send(1)).toBe(0);
    expect(a.tx.reclaim()).toBe(64);
    sw.poll();
    expect(a.tx.reclaim()).toBe(0);
    expect(a.tx.send(10) >>> 1).toBe(10);
    expect(() => a.tx.setTraffic([1600], true)).toThrow("frames of 1600 bytes: this queue sends 32 to ");
    expect(() => a.tx.setTraffic([FRAME_MIN - 1], true)).toThrow("frames of 31 bytes");
  });

  test("calls are asked for only while armed, and arming looks again", async () => {
    for (const features of [FEATURES.modern, FEATURES.eventIdx, FEATURES.packed, FEATURES.packedEventIdx]) {
      const { sw, a, b } = await pair({ target, features });
      a.tx.send(1);
      sw.poll();
      expect(sw.calls()).toEqual([]);
      expect(b.rx.arm()).toBe(true);
      b.rx.receive(10);
      expect(b.rx.arm()).toBe(false);
      a.tx.send(1);
      sw.poll();
      expect(sw.calls()).toEqual(["1/0"]);
      b.rx.disarm();
      b.rx.receive(10);
      a.tx.send(1);
      sw.poll();
      expect(sw.calls()).toEqual([]);
    }
  });

  test("a kick is asked for only when the switch is about to sleep", async () => {
    for (const features of [FEATURES.modern, FEATURES.eventIdx, FEATURES.packed, FEATURES.packedEventIdx]) {
      const { sw, a } = await pair({ target, features });
      a.tx.send(1);
      sw.settle();
      expect(a.tx.send(4) & 1).toBe(0);
      sw.settle();
      expect(sw.core.arm(sw.bridge.workers[0]!.at)).toBe(0);
      expect(a.tx.send(4)).toBe(9);
      sw.core.disarm(sw.bridge.workers[0]!.at);
      sw.settle();
      expect(a.tx.send(4) & 1).toBe(0);
    }
  });

  test("a device that breaks the ring's rules stops the queue, and nothing runs away", async () => {
    const used = async () => {
      const { sw, a, b } = await pair({ target, features: FEATURES.mergeable, size: 64 });
      transfer(a, b, 1);
      return { a, b, data: sw.bridge.views.data, tx: a.tx.place.used, rx: b.rx.place.used };
    };
    const ahead = await used();
    ahead.data.setUint16(ahead.tx + 2, 30_000, true);
    expect(ahead.a.tx.send(1)).toBe(0);
    expect(ahead.a.tx.fault).toContain("more buffers than it had");
    expect(ahead.a.tx.send(1)).toBe(0);

    const strange = await used();
    strange.data.setUint32(strange.rx + 4 + 8, 4711, true);
    strange.data.setUint16(strange.rx + 2, 2, true);
    expect(strange.b.rx.receive(10)).toBe(0);
    expect(strange.b.rx.fault).toContain("gave back buffer 4711, which it did not have");

    const long = await used();
    long.data.setUint32(long.rx + 4 + 8, 1, true);
    long.data.setUint32(long.rx + 4 + 12, 0xffff_ffff, true);
    long.data.setUint16(long.rx + 2, 2, true);
    long.data.setUint16(long.b.rx.place.buffers + long.b.rx.place.bufferBytes + 10, 1, true);
    expect(long.b.rx.receive(10) >>> 1).toBe(1);
    expect(long.b.rx.counters()).toMatchObject({ corrupt: 1, frames: 2 });

    const packed = await pair({ target, features: FEATURES.packed, size: 64 });
    transfer(packed.a, packed.b, 64);
    packed.a.tx.send(1);
    packed.sw.settle();
    packed.sw.bridge.views.data.setUint16(packed.b.rx.place.desc + 12, 64, true);
    expect(packed.b.rx.receive(10)).toBe(0);
    expect(packed.b.rx.fault).toContain("gave back buffer 64, which it did not have");

    const merged = await used();
    merged.data.setUint16(merged.b.rx.place.buffers + merged.b.rx.place.bufferBytes + 10, 40, true);
    merged.data.setUint32(merged.rx + 4 + 8, 1, true);
    merged.data.setUint32(merged.rx + 4 + 12, 60, true);
    merged.data.setUint16(merged.rx + 2, 2, true);
    expect(merged.b.rx.receive(10)).toBe(0);
    expect(merged.b.rx.fault).toContain("num_buffers 40");
  });

  test.each([
    ["split", FEATURES.inOrder, 256],
    ["packed", FEATURES.packedInOrder, 192],
  ])(
    "the null device passes frames on in order, and drops those without a buffer, %s",
    async (_, features, entries) => {
      const guests = await pair({ target, features, size: entries });
      const { a, b } = guests;
      const driver = instantiateDriver(loadModule("driver", target).module, guests.sw.memory);
      const passOn = () => driver.passOn(a.tx.pointer, b.rx.pointer);
      expect(passOn()).toBe(0);
      const size = b.rx.place.size;
      for (let sent = 0; sent < 2 * size; ) {
        sent += a.tx.send(64) >>> 1;
        expect(passOn()).toBe(64);
      }
      expect(b.rx.receive(size, "sequence") >>> 1).toBe(size);
      a.tx.send(3);
      expect(passOn()).toBe(3);
      expect(a.tx.reclaim()).toBe(0);
      expect(b.rx.receive(size, "sequence") >>> 1).toBe(3);
      expect(b.rx.counters()).toMatchObject({ frames: size + 3, corrupt: 0, foreign: 0, lost: size, reordered: 0 });
      expect(a.tx.fault ?? b.rx.fault).toBeUndefined();
    },
  );
});

test("IMIX has the sizes and shares of simple IMIX", () => {
  const counts = [64, 570, 1518].map((size) => IMIX.filter((other) => other === size).length);
  expect(counts).toEqual([7, 4, 1]);
  expect(frameSizes("imix")).toBe(IMIX);
  expect(frameSizes(128)).toEqual([128]);
});

/** The ones' complement sum of 16-bit numbers in network order: 0xffff over a header with its checksum. */
function onesSum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** Offset of the last byte of the frame of `length` bytes that was sent last. */
function lastByte(guest: DriverGuest, length: number): number {
  const { place, struct } = guest.tx;
  const { data } = guest.sw.bridge.views;
  const next = struct.get("nextAvail");
  const number =
    struct.get("packed") === 1
      ? data.getUint16(place.desc + (((next & 0x7fff) + place.size - 1) % place.size) * 16 + 12, true)
      : data.getUint16(place.avail + 4 + ((next - 1) % place.size) * 2, true);
  return place.buffers + number * place.bufferBytes + 12 + length - 1;
}
