// Taking over the path of a listening socket: a dead owner's file is removed, a live owner's never.

import { lstatSync, type Stats, statSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { closeFd } from "./memfd.js";
import { checkSocketPath, connectUnix, peerPid } from "./socket.js";
import { SystemError } from "./system-error.js";

/** A path that cannot be listened on: the message says why and what to do. */
export class SocketPathError extends Error {
  /**
   * @param reason "live": a process listens there; "occupied": something that is no stale socket is there; "folder":
   *   the folder is missing or not usable
   * @param pid the process that listens there, when it is known
   */
  constructor(
    readonly path: string,
    readonly reason: "live" | "occupied" | "folder",
    message: string,
    readonly pid?: number,
  ) {
    super(`${path}: ${message}`);
    this.name = "SocketPathError";
  }
}

/**
 * Make sure that `path` is free to listen on: remove the socket file that a dead process left there.
 * @returns whether there was such a file
 * @throws SocketPathError; SystemError ENAMETOOLONG or EINVAL for an impossible path
 */
export function claimSocketPath(path: string): "free" | "removed" {
  checkSocketPath(path);
  const found = look(path);
  if (found === null) {
    requireFolder(path);
    return "free";
  }
  if (!found.isSocket()) {
    const what = found.isDirectory() ? "a folder" : found.isSymbolicLink() ? "a symbolic link" : "a file";
    const message = `there is ${what} that is no socket; move it away or choose another path`;
    throw new SocketPathError(path, "occupied", message);
  }
  requireDeadOwner(path);
  // A new owner may have come in the meantime: only the file that was tried is removed.
  const now = look(path);
  if (now === null) return "free";
  if (now.ino !== found.ino || now.dev !== found.dev) throw liveOwner(path, undefined);
  try {
    unlinkSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return "free";
    const message = `a dead process left this socket, and it cannot be removed (${code}); remove it by hand`;
    throw new SocketPathError(path, "occupied", message);
  }
  return "removed";
}

/** What is at the path, links not followed; null when nothing is. */
function look(path: string): Stats | null {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) ?? null;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const message =
      code === "ENOTDIR"
        ? "a part of this path is a file, not a folder; correct the path"
        : code === "EACCES"
          ? `the folder ${dirname(path)} may not be entered by this user; change its permissions or the path`
          : `it cannot be looked at (${code})`;
    throw new SocketPathError(path, "folder", message);
  }
}

function requireFolder(path: string): void {
  const folder = dirname(path);
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found === undefined) {
    const message = `the folder ${folder} does not exist; create it (mkdir -p ${folder}) or correct the path`;
    throw new SocketPathError(path, "folder", message);
  }
  if (!found.isDirectory()) throw new SocketPathError(path, "folder", `${folder} is no folder; correct the path`);
}

/** Try to connect: only "connection refused" proves that nobody listens. */
function requireDeadOwner(path: string): void {
  let fd: number;
  try {
    fd = connectUnix(path);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    switch (error.code) {
      case "ECONNREFUSED":
      case "ENOENT":
        return;
      case "EAGAIN": // Its queue of waiting connections is full.
      case "EPROTOTYPE": // Bound and alive, but for datagrams or packets.
        throw liveOwner(path, undefined);
      case "EACCES":
      case "EPERM": {
        const message = "there is a socket that this user may not connect to; remove it by hand or choose another path";
        throw new SocketPathError(path, "occupied", message);
      }
      default:
        throw error;
    }
  }
  const pid = peerPid(fd);
  closeFd(fd);
  throw liveOwner(path, pid);
}

function liveOwner(path: string, pid: number | undefined): SocketPathError {
  const who = pid === undefined ? "a live process" : `process ${pid}`;
  return new SocketPathError(path, "live", `${who} listens here; stop it or choose another path`, pid);
}
