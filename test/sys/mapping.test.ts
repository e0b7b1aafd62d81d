// Files inside the linear memory: seen from both sides, gone without a trace, never outside.

import { existsSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  alignOffset,
  describeFile,
  hostPageSize,
  mapInto,
  memoryBase,
  pageSizeOf,
  unmap,
} from "../../src/sys/mapping.js";
import { createEventFd } from "../../src/sys/eventfd.js";
import { createMemfd, dupFd } from "../../src/sys/memfd.js";
import { countMappings, countOpenFds } from "../../src/sys/open-fds.js";
import { socketPair } from "../../src/sys/socket.js";
import { describeLinux, useDescriptors, useFolders } from "./linux.js";

const HUGE = 2 << 20;
const GIB = 2 ** 30;

interface Memory {
  buffer: SharedArrayBuffer;
}
declare const WebAssembly: {
  Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => Memory;
};

/** A whole linear memory: 4 GiB of addresses, of which nothing is used until it is touched. */
function linearMemory(): { memory: Memory; bytes: Uint8Array; base: bigint; mappings: () => number } {
  const memory = new WebAssembly.Memory({ initial: 65536, maximum: 65536, shared: true });
  const base = memoryBase(memory);
  const mappings = () => countMappings({ from: base, to: base + BigInt(memory.buffer.byteLength) });
  return { memory, bytes: new Uint8Array(memory.buffer), base, mappings };
}

/** Huge pages that nobody uses or has reserved; 0 where the kernel has none at all. */
function freeHugePages(): number {
  const folder = "/sys/kernel/mm/hugepages/hugepages-2048kB";
  if (!existsSync(folder)) return 0;
  const [free, promised] = ["free_hugepages", "resv_hugepages"].map((name) =>
    Number(readFileSync(join(folder, name), "utf8")),
  );
  return free - promised;
}

describeLinux("mapping into linear memory", () => {
  const folder = useFolders();
  const { own, close } = useDescriptors();
  const page = hostPageSize();

  it("F1: makes a file and the memory the same bytes, in both directions, also after the descriptor is closed", () => {
    const { bytes, base } = linearMemory();
    const file = own(createMemfd("guest", 4 * page));
    const other = own(dupFd(file));
    const offset = 3 * GIB;
    writeSync(file, "from the file", page);
    mapInto(base, offset, file, page, 2 * page);
    close(file);
    expect(Buffer.from(bytes.subarray(offset, offset + 13)).toString()).toBe("from the file");
    bytes.set(new TextEncoder().encode("from the memory"), offset + page);
    const text = Buffer.alloc(15);
    readSync(other, text, 0, 15, 2 * page);
    expect(text.toString()).toBe("from the memory");
    // Its neighbours are still plain memory.
    bytes[offset - 1] = 1;
    bytes[offset + 2 * page] = 2;
    readSync(other, text, 0, 1, 3 * page);
    expect(text[0]).toBe(0);
  });

  it("unmaps to zeroes, leaves the file as it was, and the mappings as before", () => {
    const { bytes, base, mappings } = linearMemory();
    bytes[8 * page] = 9; // Touched before: what was there is gone after the round trip.
    const before = mappings();
    const file = own(createMemfd("guest", 4 * page));
    mapInto(base, 8 * page, file, 0, 4 * page);
    expect(mappings()).toBeGreaterThan(before);
    bytes.fill(7, 8 * page, 12 * page);
    unmap(base, 8 * page, 4 * page);
    expect(mappings()).toBe(before);
    expect(bytes.subarray(8 * page, 12 * page).every((byte) => byte === 0)).toBe(true);
    bytes.fill(5, 8 * page, 12 * page);
    expect(readFileSync(`/proc/self/fd/${file}`).every((byte) => byte === 7)).toBe(true);
  });

  it("maps the end of a 4 GiB memory and a file offset beyond 4 GiB", () => {
    const { bytes, base } = linearMemory();
    const file = own(createMemfd("large guest", 8n * BigInt(GIB)));
    mapInto(base, 4 * GIB - page, file, 8n * BigInt(GIB) - BigInt(page), page);
    bytes[4 * GIB - 1] = 42;
    const last = Buffer.alloc(1);
    readSync(file, last, 0, 1, 8n * BigInt(GIB) - 1n);
    expect(last[0]).toBe(42);
  });

  it("replaces chunk by chunk a thousand times without more mappings or descriptors", () => {
    const { bytes, base, mappings } = linearMemory();
    const file = own(createMemfd("guest", 64 * page));
    const mappingsBefore = mappings();
    const fdsBefore = countOpenFds();
    for (let round = 0; round < 1000; round++) {
      mapInto(base, (round % 8) * 2 * page, file, ((round * 7) % 64) * page, page);
      bytes[(round % 8) * 2 * page] = round;
    }
    expect(mappings()).toBeLessThanOrEqual(mappingsBefore + 16);
    unmap(base, 0, 16 * page);
    expect(mappings()).toBe(mappingsBefore);
    expect(countOpenFds()).toBe(fdsBefore);
  });

  it("never touches what is outside the memory or not aligned", () => {
    const { base } = linearMemory();
    const file = own(createMemfd("guest", 4 * page));
    for (const [offset, fileOffset, length] of [
      [4 * GIB, 0, page],
      [4 * GIB - page, 0, 2 * page],
      [-page, 0, page],
      [0, 0, 0],
      [0, 0, -page],
      [Number.NaN, 0, page],
      [1, 0, page],
      [0, 1, page],
      [0, -page, page],
      [0, 0, page - 1],
      [0, 0, 4 * GIB + page],
    ]) {
      expect(() => mapInto(base, offset, file, fileOffset, length), `${[offset, fileOffset, length]}`).toThrow(
        RangeError,
      );
    }
    expect(() => mapInto(base, 0, file, page, HUGE, { pageSize: HUGE })).toThrow(RangeError);
    expect(() => unmap(base, 4 * GIB, page)).toThrow(RangeError);
    expect(() => unmap(base, 0, 1)).toThrow(RangeError);
  });

  it("reports what the kernel refuses to map", () => {
    const { base, bytes } = linearMemory();
    const path = join(folder(), "read-only");
    writeFileSync(path, Buffer.alloc(page));
    bytes[0] = 1;
    expect(() => mapInto(base, 0, own(openSync(path, "r")), 0, page)).toThrow(/mmap: .*\(EACCES\)/);
    expect(() => mapInto(base, 0, own(createEventFd()), 0, page)).toThrow(/mmap: .*\(ENODEV\)/);
    expect(() => mapInto(base, 0, 9999, 0, page)).toThrow(/\(EBADF\)/);
    expect(bytes[0]).toBe(1);
  });

  it("finds the place where a file with larger pages fits", () => {
    expect(alignOffset(0x7000_0000_0000n, 0, HUGE)).toBe(0);
    expect(alignOffset(0x7000_0000_1000n, 0, HUGE)).toBe(HUGE - 4096);
    expect(alignOffset(0x7000_0000_1000n, HUGE - 4096, HUGE)).toBe(HUGE - 4096);
    expect(alignOffset(0x7000_0000_1000n, HUGE - 4095, HUGE)).toBe(2 * HUGE - 4096);
  });

  const free = freeHugePages();
  const whyNot = free < 2 ? ` (fewer than two free 2 MiB huge pages, see /proc/sys/vm/nr_hugepages: ${free})` : "";
  if (whyNot !== "") console.log(`skipped: maps huge pages${whyNot}`);
  it.skipIf(whyNot !== "")(`maps huge pages${whyNot}`, () => {
    const { bytes, base, mappings } = linearMemory();
    const before = mappings();
    const file = own(createMemfd("huge guest", 2 * HUGE, { hugePages: true }));
    const pageSize = pageSizeOf(file);
    expect(pageSize).toBe(HUGE);
    const offset = alignOffset(base, 4096, pageSize);
    mapInto(base, offset, file, HUGE, HUGE, { pageSize });
    bytes[offset] = 77;
    bytes[offset + HUGE - 1] = 78;
    unmap(base, offset, HUGE, { pageSize });
    expect(bytes[offset]).toBe(0);
    expect(mappings()).toBe(before);
    mapInto(base, offset, file, HUGE, HUGE, { pageSize });
    expect([bytes[offset], bytes[offset + HUGE - 1]]).toEqual([77, 78]);
    unmap(base, offset, HUGE, { pageSize });
  });
});

describeLinux("describing a received descriptor", () => {
  const folder = useFolders();
  const { own } = useDescriptors();

  it("tells kinds, sizes, seals and access apart", () => {
    const there = folder();
    const path = join(there, "file");
    writeFileSync(path, "12345");
    expect(describeFile(own(openSync(path, "r")))).toMatchObject({ kind: "regular", size: 5n, readOnly: true });
    expect(describeFile(own(openSync(path, "r+")))).toMatchObject({ kind: "regular", readOnly: false });
    expect(describeFile(own(openSync(path, "a"))).readOnly).toBe(false);
    expect(describeFile(own(openSync(there, "r"))).kind).toBe("directory");
    expect(describeFile(own(openSync("/dev/zero", "r+")))).toMatchObject({ kind: "character", seals: null });
    expect(describeFile(own(createEventFd()))).toMatchObject({ kind: "other", seals: null });
    const [a, b] = socketPair();
    expect(describeFile(own(a))).toMatchObject({ kind: "socket", readOnly: false });
    expect(describeFile(own(b)).blockSize).toBe(hostPageSize());
    expect(() => describeFile(9999)).toThrow(/EBADF/);
  });

  it("tells whether a memory file can be truncated", () => {
    const plain = describeFile(own(createMemfd("plain", 8192)));
    expect(plain).toMatchObject({ kind: "regular", size: 8192n, blockSize: hostPageSize(), readOnly: false });
    expect(plain.seals).toEqual({ seal: true, shrink: false, grow: false, write: false });
    const sealed = own(createMemfd("sealed", 8192, { seals: true }));
    expect(describeFile(sealed).seals).toEqual({ seal: false, shrink: true, grow: false, write: false });
    expect(() => writeFileSync(`/proc/self/fd/${sealed}`, "")).toThrow(/EPERM/);
  });
});
