// The number of a Unix group, which Node cannot ask for: needed to hand a listening socket to QEMU's group.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Turns a group's name or number into its number; undefined when there is no such group. */
export type GroupLookup = (nameOrNumber: string) => number | undefined;

/** The number of `name` in the text of a group(5) file. */
export function findGroup(groupFile: string, name: string): number | undefined {
  for (const line of groupFile.split("\n")) {
    const [groupName, , gid] = line.split(":");
    if (groupName === name && gid !== undefined && /^\d+$/.test(gid)) return Number(gid);
  }
  return undefined;
}

/** Looks in /etc/group first, then asks getent, which knows the groups of LDAP and the like. */
export const lookupGroup: GroupLookup = (nameOrNumber) => {
  if (/^\d+$/.test(nameOrNumber)) {
    const gid = Number(nameOrNumber);
    // 2^32 - 1 means "leave as it is" to chown(2).
    return gid < 0xffff_ffff ? gid : undefined;
  }
  try {
    const gid = findGroup(readFileSync("/etc/group", "utf8"), nameOrNumber);
    if (gid !== undefined) return gid;
    const answer = execFileSync("getent", ["group", "--", nameOrNumber], {
      encoding: "utf8",
      timeout: 5000,
      stdio: ["ignore", "pipe", "ignore"],
    });
    return findGroup(answer, nameOrNumber);
  } catch {
    // No /etc/group, no getent, or no such group: for the operator all three are "this group is not known here".
    return undefined;
  }
};
