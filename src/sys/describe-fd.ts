// What a descriptor refers to, in a few words and numbers: for records that a person reads later.

import { fstatSync, readlinkSync } from "node:fs";
import type { Fd } from "../vhost-user/effects.js";
import { describeFile } from "./mapping.js";

export type DescribedFd = { kind: string } & Record<string, string | number | boolean | string[]>;

/**
 * Kind and, for memory files and other files, name, size in bytes, size of the pages it is mapped in and seals. A
 * descriptor of the kernel's own has the kernel's word for it: eventfd, userfaultfd, … Never throws.
 */
export function describeFd(fd: Fd): DescribedFd {
  try {
    const target = readlinkSync(`/proc/self/fd/${fd}`);
    const anonymous = /^anon_inode:\[?([^\]]+)\]?$/.exec(target)?.[1];
    if (anonymous !== undefined) return { kind: anonymous };
    const status = fstatSync(fd);
    if (status.isFIFO()) return { kind: "pipe" };
    if (status.isSocket()) return { kind: "socket" };
    const { kind, size, blockSize, seals, readOnly } = describeFile(fd);
    const memfd = /^\/memfd:(.*) \(deleted\)$/.exec(target)?.[1];
    return {
      kind: memfd === undefined ? (kind === "regular" ? "file" : kind) : "memfd",
      name: memfd ?? target,
      // Too large for a number it is no file that anybody maps.
      size: Number(size),
      pageBytes: blockSize,
      ...(seals === null ? {} : { seals: Object.entries(seals).flatMap(([name, on]) => (on ? [name] : [])) }),
      ...(readOnly ? { readOnly } : {}),
    };
  } catch (error) {
    return { kind: "unknown", reason: (error as Error).message };
  }
}
