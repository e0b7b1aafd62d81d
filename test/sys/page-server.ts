// The other end of a userfaultfd, as a front-end has it in a postcopy migration: hears who waits for a page, and brings it.

import { check, errnoOf, lastErrno, libc, pinned } from "../../src/sys/libc.js";
import { SystemError } from "../../src/sys/system-error.js";

const UFFDIO_COPY = 0xc028_aa03;
/** struct uffd_msg: u8 event first, u64 arg.pagefault.address at 16. */
const MSG_BYTES = 32;
const MSG_ADDRESS = 16;
const EVENT_PAGEFAULT = 0x12;

/** Puts the bytes, whole pages, at `address` in the process of the descriptor, and wakes who waits for them. */
export function bringPages(fd: number, address: bigint, bytes: Uint8Array): void {
  // struct uffdio_copy: u64 dst, src, len, mode, copy.
  const copy = pinned(40);
  const source = pinned(bytes.length);
  source.bytes.set(bytes);
  [address, source.address, BigInt(bytes.length), 0n, 0n].forEach((word, i) => {
    copy.view.setBigUint64(i * 8, word, true);
  });
  check(libc().ioctl(fd, UFFDIO_COPY, copy.bytes), "UFFDIO_COPY");
  source.bytes.fill(0);
}

/** Address of a page that somebody waits for, in the process of the descriptor; undefined when nobody new does. */
export function nextFault(fd: number): bigint | undefined {
  const { bytes, view } = pinned(MSG_BYTES);
  if (libc().read(fd, bytes, MSG_BYTES) < 0) {
    const errno = lastErrno();
    if (errno === errnoOf("EAGAIN")) return undefined;
    throw new SystemError("read(userfaultfd)", errno);
  }
  if (view.getUint8(0) !== EVENT_PAGEFAULT) throw new Error(`event ${view.getUint8(0)} was not asked for`);
  return view.getBigUint64(MSG_ADDRESS, true);
}
