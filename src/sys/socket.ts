// Unix stream sockets that pass file descriptors (SCM_RIGHTS), which Node's own sockets cannot.
//
// Every socket made here is non-blocking and close-on-exec, and so is every descriptor received (close-on-exec). A
// descriptor handed back belongs to the caller.

import { lchownSync, chmodSync, unlinkSync } from "node:fs";
import type { Fd } from "../fd.js";
import { addressOf, check, errnoOf, koffi, lastErrno, lastError, libc, type Pinned, pinned } from "./libc.js";
import { closeFd } from "./memfd.js";
import { SystemError } from "./system-error.js";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_FLAGS = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;

/** sizeof(sun_path) is 108, of which one byte ends the string. */
export const SOCKET_PATH_MAX_BYTES = 107;
/** The kernel's own limit of descriptors in one message (SCM_MAX_FD). */
export const MESSAGE_FDS_MAX = 253;

// struct msghdr and what it points to, one of each per thread: the calls are synchronous and never nest.
const MSGHDR_BYTES = 56;
const MSG_IOV = 16;
const MSG_IOVLEN = 24;
const MSG_CONTROL = 32;
const MSG_CONTROLLEN = 40;
const MSG_FLAGS = 48;
const IOVEC_BYTES = 16;
const IOV_LEN = 8;
const CMSGHDR_BYTES = 16;
const CMSG_LEVEL = 8;
const CMSG_TYPE = 12;
const FD_BYTES = 4;

interface MessageScratch {
  header: Pinned;
  iovec: Pinned;
  control: Pinned;
  /** The caller's bytes while C holds their address, so that no garbage collection frees them under it. */
  held: Uint8Array | null;
}

let messageScratch: MessageScratch | undefined;

export interface ListenOptions {
  /** Permission bits of the socket file; 0o777 without the umask's bits when not given. */
  mode?: number;
  /** Group of the socket file, by name or number. */
  group?: string | number;
  /** Connections that may wait to be accepted. */
  backlog?: number;
}

/**
 * A listening socket at `path`, which must not exist yet (see stale.ts). Nobody can connect before mode and group are
 * as asked: the socket starts to listen only then.
 * @throws SystemError ENAMETOOLONG, EADDRINUSE, EACCES, ENOENT (no such folder), EINVAL (no such group), EPERM (not
 *   this user's group), …; RangeError for a mode or group number that is none
 */
export function listenUnix(path: string, options: ListenOptions = {}): Fd {
  const address = socketAddress(path, "bind");
  if (options.mode !== undefined && !isMode(options.mode)) throw new RangeError(`${options.mode} is no file mode`);
  const gid = options.group === undefined ? undefined : groupId(options.group, path);
  const fd = check(libc().socket(AF_UNIX, SOCK_FLAGS, 0), "socket");
  let bound = false;
  try {
    // The mode of an unbound socket is the mode of the file that bind makes: closed to all until chmod below.
    if (options.mode !== undefined) check(libc().fchmod(fd, 0), "fchmod", path);
    check(libc().bind(fd, address, address.length), "bind", path);
    bound = true;
    if (gid !== undefined) lchownSync(path, -1, gid);
    if (options.mode !== undefined) chmodSync(path, options.mode);
    check(libc().listen(fd, options.backlog ?? 16), "listen", path);
  } catch (error) {
    closeFd(fd);
    if (bound) unlinkSync(path);
    throw error instanceof SystemError ? error : fromNodeError(error, path);
  }
  return fd;
}

/**
 * A socket connected to the listener at `path`.
 * @throws SystemError ENOENT (nothing there), ECONNREFUSED (nobody listens), EAGAIN (the listener's queue is full: try
 *   again), EACCES, EPROTOTYPE (no stream socket), ENAMETOOLONG
 */
export function connectUnix(path: string): Fd {
  const address = socketAddress(path, "connect");
  const fd = check(libc().socket(AF_UNIX, SOCK_FLAGS, 0), "socket");
  if (libc().connect(fd, address, address.length) < 0) {
    const error = lastError("connect", path);
    closeFd(fd);
    throw error;
  }
  return fd;
}

/**
 * The next waiting connection of a listening socket, null when there is none (or it left again before it was accepted).
 * @throws SystemError EMFILE or ENFILE when there are no descriptors left: the connection keeps waiting
 */
export function acceptUnix(fd: Fd): Fd | null {
  const accepted = libc().accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted >= 0) return accepted;
  const error = lastError("accept4");
  if (error.code === "EAGAIN" || error.code === "ECONNABORTED" || error.code === "EINTR") return null;
  throw error;
}

/**
 * What kind of unix stream socket a descriptor is that somebody gave us.
 * @throws SystemError ENOTSOCK, EBADF
 */
export function socketState(fd: Fd): "listening" | "connected" {
  const value = new Int32Array(1);
  const length = new Uint8Array(new Uint32Array([value.byteLength]).buffer);
  check(libc().getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, new Uint8Array(value.buffer), length), "getsockopt");
  return value[0] === 1 ? "listening" : "connected";
}

/**
 * Process id of the other end of a connected socket, as it was when it connected or started to listen (SO_PEERCRED);
 * undefined when the kernel does not tell, for example because it lives in another pid namespace.
 */
export function peerPid(fd: Fd): number | undefined {
  const credentials = new Int32Array(3);
  const length = new Uint8Array(new Uint32Array([credentials.byteLength]).buffer);
  const result = libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, new Uint8Array(credentials.buffer), length);
  return result === 0 && credentials[0] > 0 ? credentials[0] : undefined;
}

export interface Received {
  /** Bytes written to the buffer; 0 when the other end has closed. */
  bytes: number;
  /** Descriptors that came along, now the caller's: also when `truncated`. */
  fds: Fd[];
  /** More descriptors were sent than `maxFds` (or than this process may open): those left out are gone. */
  truncated: boolean;
}

/**
 * Read what has arrived, up to the buffer's length, and the descriptors sent with it. Descriptors come with the first
 * byte of the send they were given to.
 * @returns "again" when nothing has arrived
 * @throws SystemError ECONNRESET, EBADF, … ; RangeError for an empty buffer, whose 0 bytes would look like a close
 */
export function receive(fd: Fd, buffer: Uint8Array, maxFds = 8): Received | "again" {
  if (buffer.length === 0) throw new RangeError("receive needs a buffer of at least one byte");
  const { header, control } = prepareMessage(buffer, maxFds);
  const bytes = retryInterrupted(() => libc().recvmsg(fd, header.address, MSG_CMSG_CLOEXEC));
  const errno = bytes < 0 ? lastErrno() : 0;
  releaseMessage();
  if (errno !== 0) {
    if (errno === errnoOf("EAGAIN")) return "again";
    throw new SystemError("recvmsg", errno);
  }
  const flags = header.view.getInt32(MSG_FLAGS, true);
  const controlBytes = Number(header.view.getBigUint64(MSG_CONTROLLEN, true));
  return { bytes, fds: controlFds(control.view, controlBytes), truncated: (flags & (MSG_CTRUNC | MSG_TRUNC)) !== 0 };
}

/**
 * Send bytes, and descriptors with their first byte. The descriptors stay the caller's own.
 * @returns how many bytes were taken (at least 1: then all descriptors were sent, and the rest goes without them), or
 *   "again" when the socket can take nothing now
 * @throws SystemError EPIPE when the other end has closed, ECONNRESET, EBADF, ETOOMANYREFS, …
 * @throws RangeError for no bytes or too many descriptors
 */
export function send(fd: Fd, bytes: Uint8Array, fds: readonly Fd[] = []): number | "again" {
  if (bytes.length === 0) throw new RangeError("send needs at least one byte: descriptors travel with it");
  const { header, control } = prepareMessage(bytes, fds.length);
  if (fds.length > 0) {
    control.view.setBigUint64(0, BigInt(CMSGHDR_BYTES + FD_BYTES * fds.length), true);
    control.view.setInt32(CMSG_LEVEL, SOL_SOCKET, true);
    control.view.setInt32(CMSG_TYPE, SCM_RIGHTS, true);
    for (const [i, sent] of fds.entries()) control.view.setInt32(CMSGHDR_BYTES + FD_BYTES * i, sent, true);
  }
  const taken = retryInterrupted(() => libc().sendmsg(fd, header.address, MSG_NOSIGNAL));
  const errno = taken < 0 ? lastErrno() : 0;
  releaseMessage();
  if (errno === 0) return taken;
  if (errno === errnoOf("EAGAIN")) return "again";
  throw new SystemError("sendmsg", errno);
}

/** Two connected sockets. */
export function socketPair(): [Fd, Fd] {
  const pair = new Int32Array(2);
  check(libc().socketpair(AF_UNIX, SOCK_FLAGS, 0, new Uint8Array(pair.buffer)), "socketpair");
  return [pair[0], pair[1]];
}

/** Set or clear O_NONBLOCK of the open file behind a descriptor: all who share it are affected. */
export function setNonBlocking(fd: Fd, on: boolean): void {
  const flags = check(libc().fcntl(fd, F_GETFL, 0), "fcntl(F_GETFL)");
  const wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted !== flags) check(libc().fcntl(fd, F_SETFL, wanted), "fcntl(F_SETFL)");
}

/** Fill the msghdr of this thread for one buffer and room for exactly `fdCount` descriptors. */
function prepareMessage(bytes: Uint8Array, fdCount: number): MessageScratch {
  if (!Number.isInteger(fdCount) || fdCount < 0 || fdCount > MESSAGE_FDS_MAX) {
    throw new RangeError(`a message carries 0 to ${MESSAGE_FDS_MAX} descriptors, not ${fdCount}`);
  }
  messageScratch ??= {
    header: pinned(MSGHDR_BYTES),
    iovec: pinned(IOVEC_BYTES),
    control: pinned(CMSGHDR_BYTES + FD_BYTES * (MESSAGE_FDS_MAX + 1)),
    held: null,
  };
  const { header, iovec, control } = messageScratch;
  messageScratch.held = bytes;
  iovec.view.setBigUint64(0, addressOf(bytes), true);
  iovec.view.setBigUint64(IOV_LEN, BigInt(bytes.length), true);
  header.bytes.fill(0);
  header.view.setBigUint64(MSG_IOV, iovec.address, true);
  header.view.setBigUint64(MSG_IOVLEN, 1n, true);
  if (fdCount > 0) {
    header.view.setBigUint64(MSG_CONTROL, control.address, true);
    // The exact length, not rounded up to 8 as CMSG_SPACE does: else an odd count would let one more in.
    header.view.setBigUint64(MSG_CONTROLLEN, BigInt(CMSGHDR_BYTES + FD_BYTES * fdCount), true);
  }
  return messageScratch;
}

function releaseMessage(): void {
  if (messageScratch !== undefined) messageScratch.held = null;
}

/** The descriptors in the control messages that the kernel wrote. */
function controlFds(control: DataView, controlBytes: number): Fd[] {
  const fds: Fd[] = [];
  let at = 0;
  while (at + CMSGHDR_BYTES <= controlBytes) {
    const length = Number(control.getBigUint64(at, true));
    if (length < CMSGHDR_BYTES) break;
    if (
      control.getInt32(at + CMSG_LEVEL, true) === SOL_SOCKET &&
      control.getInt32(at + CMSG_TYPE, true) === SCM_RIGHTS
    ) {
      const end = Math.min(at + length, controlBytes);
      for (let data = at + CMSGHDR_BYTES; data + FD_BYTES <= end; data += FD_BYTES) {
        fds.push(control.getInt32(data, true));
      }
    }
    at += (length + 7) & ~7;
  }
  return fds;
}

/** The result of a call, made again as long as a signal interrupts it. */
function retryInterrupted(call: () => number): number {
  const eintr = errnoOf("EINTR");
  let result = call();
  while (result < 0 && lastErrno() === eintr) result = call();
  return result;
}

/**
 * Refuse a path that no socket can have.
 * @param syscall the call it was meant for, for the message
 * @throws SystemError ENAMETOOLONG, EINVAL
 */
export function checkSocketPath(path: string, syscall = "bind"): void {
  const encoded = new TextEncoder().encode(path);
  if (encoded.length > SOCKET_PATH_MAX_BYTES) {
    const limit = `a socket path has at most ${SOCKET_PATH_MAX_BYTES} bytes`;
    const detail = `${limit}, this one has ${encoded.length}: shorten it`;
    throw new SystemError(syscall, errnoOf("ENAMETOOLONG"), path, detail);
  }
  // Empty or starting with NUL, the kernel would take an address outside the file system, open to everybody.
  if (encoded.length === 0 || encoded.includes(0)) {
    const shown = JSON.stringify(path);
    throw new SystemError(syscall, errnoOf("EINVAL"), shown, "a socket path is not empty and contains no NUL byte");
  }
}

/** struct sockaddr_un of a path in the file system. */
function socketAddress(path: string, syscall: string): Uint8Array {
  checkSocketPath(path, syscall);
  const encoded = new TextEncoder().encode(path);
  const address = new Uint8Array(2 + encoded.length + 1);
  address[0] = AF_UNIX;
  address.set(encoded, 2);
  return address;
}

const GID_MAX = 0xffff_fffe; // One more means "no change" to chown.
const GROUP_GID_OFFSET = 16; // struct group: char *gr_name, char *gr_passwd, gid_t gr_gid

function groupId(group: string | number, path: string): number {
  if (typeof group === "number") {
    if (!Number.isInteger(group) || group < 0 || group > GID_MAX) throw new RangeError(`${group} is no group number`);
    return group;
  }
  const entry = libc().getgrnam(group);
  if (entry === null) {
    throw new SystemError("bind", errnoOf("EINVAL"), path, `there is no group "${group}" on this system`);
  }
  return koffi().decode(entry, GROUP_GID_OFFSET, "uint32_t") as number;
}

function isMode(mode: number): boolean {
  return Number.isInteger(mode) && mode >= 0 && mode <= 0o777;
}

/** The errors of node:fs carry a negative errno and the same names. */
function fromNodeError(error: unknown, path: string): unknown {
  const { errno, syscall } = error as NodeJS.ErrnoException;
  return typeof errno === "number" ? new SystemError(syscall ?? "listen", Math.abs(errno), path) : error;
}
