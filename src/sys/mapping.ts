// Files mapped into the WebAssembly memory: MAP_FIXED over a page range inside its buffer, and out again.
//
// An `offset` is a place in linear memory, `base` the memory's address. Nothing outside the memory can be touched: all
// ranges are checked against 4 GiB, and alignment against the page size of the file. A failed check is our own mistake.

import { fstatSync } from "node:fs";
import type { Fd } from "../fd.js";
import { addressOf, check, errnoOf, lastErrno, libc } from "./libc.js";
import { SystemError } from "./system-error.js";

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MADV_DONTFORK = 10;
const MADV_NOHUGEPAGE = 15;
const SC_PAGESIZE = 30;
const STATFS_BYTES = 120;
const STATFS_TYPE = 0;
const STATFS_BSIZE = 8;
const HUGETLBFS_MAGIC = 0x958458f6n;
const F_GETFL = 3;
const F_GET_SEALS = 1034;
const O_ACCMODE = 3;
const O_RDONLY = 0;

/** One past the last byte that a 32-bit offset can name: the most a linear memory holds. */
export const LINEAR_MEMORY_LIMIT = 0x1_0000_0000;

let pageSize = 0;

/** The kernel's page size in bytes: 4096, on arm64 also 16384 or 65536. */
export function hostPageSize(): number {
  if (pageSize === 0) pageSize = check(libc().sysconf(SC_PAGESIZE), "sysconf(_SC_PAGESIZE)");
  return pageSize;
}

/** What is used of a WebAssembly.Memory. */
export interface LinearMemory {
  readonly buffer: ArrayBufferLike;
}

/** The address of a memory's first byte. It stays the same while the memory lives, also for a shared one that grows. */
export function memoryBase(memory: LinearMemory): bigint {
  return addressOf(new Uint8Array(memory.buffer));
}

/** The least offset >= `offset` whose address is a multiple of `pageBytes`: where a file with such pages can go. */
export function alignOffset(base: bigint, offset: number, pageBytes: number): number {
  const misalignment = Number((base + BigInt(offset)) % BigInt(pageBytes));
  return misalignment === 0 ? offset : offset + pageBytes - misalignment;
}

export interface MapOptions {
  /** What `pageSizeOf(fd)` says, when it is more than the host's page size. */
  pageSize?: number;
}

/**
 * Map `length` bytes of a file from `fileOffset`, shared, readable and writable, over the linear memory at `offset`.
 * What was there before is gone. The descriptor may be closed afterwards: the mapping stays.
 * @throws SystemError EACCES (the descriptor is not readable and writable), ENODEV (no mappable file), ENOMEM (no huge
 *   pages left, or too many mappings: vm.max_map_count), …
 * @throws RangeError when a range or alignment is wrong
 */
export function mapInto(
  base: bigint,
  offset: number,
  fd: Fd,
  fileOffset: number | bigint,
  length: number,
  options: MapOptions = {},
): void {
  const pageBytes = options.pageSize ?? hostPageSize();
  checkRange(base, offset, length, pageBytes);
  const from = BigInt(fileOffset);
  if (from < 0n || from % BigInt(pageBytes) !== 0n) {
    throw new RangeError(`file offset ${from} is not a multiple of the page size ${pageBytes}`);
  }
  place(base, offset, length, MAP_SHARED | MAP_FIXED, fd, from);
}

/**
 * Put fresh zero pages, which cost nothing until touched, over `length` bytes at `offset`. The file that was mapped
 * there keeps its contents. For huge pages give the whole range that was mapped, and the page size.
 */
export function unmap(base: bigint, offset: number, length: number, options: MapOptions = {}): void {
  checkRange(base, offset, length, options.pageSize ?? hostPageSize());
  place(base, offset, length, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0n);
  // V8 sets this on the memory it allocates. Only pages with equal flags become one mapping again, and the number of
  // mappings of a process is limited.
  check(libc().madvise(base + BigInt(offset), length, MADV_DONTFORK), "madvise(MADV_DONTFORK)");
}

/**
 * Have the kernel map no huge page over several small ones there, now or later.
 * @throws SystemError
 */
export function keepSmallPages(base: bigint, offset: number, length: number): void {
  const result = libc().madvise(base + BigInt(offset), length, MADV_NOHUGEPAGE);
  // EINVAL: a kernel that was built without transparent huge pages.
  if (result < 0 && lastErrno() !== errnoOf("EINVAL")) throw new SystemError("madvise(MADV_NOHUGEPAGE)", lastErrno());
}

function checkRange(base: bigint, offset: number, length: number, pageBytes: number): void {
  const inside =
    Number.isInteger(offset) &&
    Number.isInteger(length) &&
    offset >= 0 &&
    length > 0 &&
    offset + length <= LINEAR_MEMORY_LIMIT;
  if (!inside) throw new RangeError(`[${offset}, ${offset} + ${length}) does not lie in a 4 GiB linear memory`);
  if ((base + BigInt(offset)) % BigInt(pageBytes) !== 0n || length % pageBytes !== 0) {
    throw new RangeError(`offset ${offset} and length ${length} do not fit the page size ${pageBytes}`);
  }
}

function place(base: bigint, offset: number, length: number, flags: number, fd: Fd, fileOffset: bigint): void {
  const address = base + BigInt(offset);
  const result = libc().mmap(address, length, PROT_READ | PROT_WRITE, flags, fd, fileOffset);
  if (Number(result) === -1) throw new SystemError("mmap", lastErrno());
}

/** The size of the pages a file is mapped in: 2 MiB or 1 GiB for a huge page file, else the host's page size. */
export function pageSizeOf(fd: Fd): number {
  const bytes = new Uint8Array(STATFS_BYTES);
  check(libc().fstatfs(fd, bytes), "fstatfs");
  const view = new DataView(bytes.buffer);
  // Other file systems report a preferred transfer size there, which means nothing to mmap.
  if (view.getBigUint64(STATFS_TYPE, true) !== HUGETLBFS_MAGIC) return hostPageSize();
  return Number(view.getBigUint64(STATFS_BSIZE, true));
}

/** The seals of a memory file (memfd): what nobody can do to it any more. */
export interface Seals {
  /** No further seals may be added. */
  seal: boolean;
  /** It cannot get smaller: whoever maps it is safe from SIGBUS. */
  shrink: boolean;
  grow: boolean;
  write: boolean;
}

export interface FileDescription {
  kind: "regular" | "directory" | "character" | "block" | "fifo" | "socket" | "other";
  /** Size in bytes, as of now. */
  size: bigint;
  /** The size of the pages it is mapped in, in bytes. */
  blockSize: number;
  /** null when the file can have no seals: anybody who can write it can also truncate it. */
  seals: Seals | null;
  /** The descriptor was opened for reading only: it cannot be mapped writable. */
  readOnly: boolean;
}

/**
 * What a received descriptor refers to, to be judged before it is mapped.
 * @throws SystemError EBADF when the number is no open descriptor
 */
export function describeFile(fd: Fd): FileDescription {
  const flags = check(libc().fcntl(fd, F_GETFL, 0), "fcntl(F_GETFL)");
  const status = fstatSync(fd, { bigint: true });
  const kind = status.isFile()
    ? "regular"
    : status.isDirectory()
      ? "directory"
      : status.isCharacterDevice()
        ? "character"
        : status.isBlockDevice()
          ? "block"
          : status.isFIFO()
            ? "fifo"
            : status.isSocket()
              ? "socket"
              : "other";
  return {
    kind,
    size: status.size,
    blockSize: pageSizeOf(fd),
    seals: sealsOf(fd),
    readOnly: (flags & O_ACCMODE) === O_RDONLY,
  };
}

function sealsOf(fd: Fd): Seals | null {
  const seals = libc().fcntl(fd, F_GET_SEALS, 0);
  if (seals < 0) {
    const errno = lastErrno();
    // EINVAL: no file system that knows seals. EBADF: a descriptor that allows no operation at all (O_PATH).
    if (errno === errnoOf("EINVAL") || errno === errnoOf("EBADF")) return null;
    throw new SystemError("fcntl(F_GET_SEALS)", errno);
  }
  return { seal: (seals & 1) !== 0, shrink: (seals & 2) !== 0, grow: (seals & 4) !== 0, write: (seals & 8) !== 0 };
}
