// What a socket's path must be so that a switch and a QEMU can meet there.

import { SOCKET_PATH_MAX } from "../config/schema.js";

/**
 * Why nobody should bind or connect to `path`, as the end of a sentence that begins with its key, or undefined. Whether
 * it is absolute is not looked at: Nova passes a relative one on, and libvirt refuses it.
 */
export function socketFault(path: string): string | undefined {
  if (/\p{Cc}/u.test(path)) return `${JSON.stringify(path)} has a control character: use a plain path`;
  if (path.split("/").includes("..")) {
    return `"${path}" goes up with "..", so it may end anywhere: give the path without it`;
  }
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_MAX) return undefined;
  return `${bytes} bytes are too long for a unix socket, which takes ${SOCKET_PATH_MAX}: use a shorter folder (${path.slice(0, 40)}…)`;
}
