// The doctor's questions about libvirt: which one it is, and whether its QEMU, which runs as a user of its own, and the
// switch get at each other's sockets. Looks only, as doctor-sockets.ts.

import { dirname } from "node:path";
import { findGroup } from "../config/group.js";
import type { PortConfig } from "../config/schema.js";
import type { Check } from "./doctor-checks.js";
import type { Machine } from "./doctor-machine.js";

/** Users that run QEMU for libvirt: Debian's and Ubuntu's, Red Hat's and SUSE's. */
const QEMU_USERS = ["libvirt-qemu", "qemu"];
/** Permission bits: enter a folder, write. */
const ENTER = 1;
const WRITE = 2;
const SET_GROUP_ID = 0o2000;

/** A file's permissions and owners, and a user's numbers. */
type Entry = { mode: number; uid: number; gid: number };
type User = { uid: number; gids: readonly number[] };

/** Checks of the installed libvirt, and of each port as its QEMU and the switch see it. */
export function libvirtChecks(machine: Machine, ports: readonly PortConfig[]): Check[] {
  return [
    ...version(machine),
    ...ports.flatMap((port) => {
      if (port.role === "listen") return reachable(machine, port);
      return port.role === "connect" ? reachableForUs(machine, port) : [];
    }),
    ...confinement(machine),
  ];
}

/** What an operator should know of the installed libvirt. */
function version(machine: Machine): Check[] {
  const line = ["libvirtd", "virtqemud", "/usr/sbin/libvirtd", "/usr/sbin/virtqemud"]
    .map((program) => machine.firstLine(program, ["--version"]))
    .find((text) => text !== undefined);
  const found = /(\d+)\.(\d+)\.(\d+)/.exec(line ?? "");
  if (found === null) return [];
  const name = "libvirt";
  const [major, minor] = [Number(found[1]), Number(found[2])];
  const notes = [`libvirt ${found[0]}`];
  if (major === 9) notes.push("starts no guest with <mtu> in a vhostuser interface (docs/OPENSTACK.md has what works)");
  if (major < 11 || (major === 11 && minor < 2)) {
    notes.push("starts a guest without shared memory all the same, and its card stays dead: see memoryBacking");
  }
  const vsctl = machine.firstLine("ovs-vsctl", ["--version"]);
  const whose = vsctl?.startsWith("ringbridge") ? "asks ringbridge" : vsctl ? "asks Open vSwitch" : "has no counters";
  notes.push(`virsh domifstat ${whose} when libvirtd's PATH is as this one`);
  return [{ name, status: "ok", what: notes.join("; ") }];
}

function allowed(user: User, entry: Entry, bit: number): boolean {
  return ((entry.mode >> (entry.uid === user.uid ? 6 : user.gids.includes(entry.gid) ? 3 : 0)) & bit) !== 0;
}

/** Whether libvirt's QEMU may make the socket that the switch connects to, and the switch may then connect. */
function reachableForUs(machine: Machine, port: PortConfig): Check[] {
  const user = qemuUser(machine);
  if (user === undefined || user.uid === machine.uid) return [];
  const name = `port ${port.name} for ${user.name}`;
  const folder = dirname(port.path);
  const found = machine.folder(folder);
  const group = user.groupName;
  if (found === undefined) {
    const fix = `install -d -m 2770 -g ${group} ${folder}`;
    return [
      { name, status: "warn", what: `the folder ${folder}, where QEMU is to make the socket, is not there`, fix },
    ];
  }
  const share = `chgrp ${group} ${folder}; chmod 2770 ${folder}`;
  if (!allowed(user, found, WRITE) || !allowed(user, found, ENTER)) {
    return [
      { name, status: "warn", what: `libvirt's QEMU (${user.name}) may not make a socket in ${folder}`, fix: share },
    ];
  }
  // Root may connect to any. Otherwise what counts is the group that the socket gets: libvirt's umask leaves it the right.
  if (machine.uid === 0) return [{ name, status: "ok", what: `libvirt's QEMU (${user.name}) may make its socket` }];
  if ((found.mode & SET_GROUP_ID) === 0) {
    const what = `a socket that ${user.name} makes in ${folder} belongs to a group of its own, not to the folder's`;
    return [{ name, status: "warn", what, fix: share }];
  }
  if (!machine.gids.includes(found.gid)) {
    const what = `the switch's user is not in the group (${found.gid}) that sockets in ${folder} belong to`;
    return [{ name, status: "warn", what, fix: "add it to that group, or SupplementaryGroups= in its systemd unit" }];
  }
  return [
    { name, status: "ok", what: `libvirt's QEMU (${user.name}) may make its socket, and the switch may connect` },
  ];
}

/** Whether libvirt's QEMU, where it is installed and another user than ours, gets to a listening socket. */
function reachable(machine: Machine, port: PortConfig): Check[] {
  const user = qemuUser(machine);
  if (user === undefined || user.uid === machine.uid) return [];
  const name = `port ${port.name} for ${user.name}`;
  const allows = (entry: Entry, bit: number) => allowed(user, entry, bit);

  for (let folder = dirname(port.path); ; folder = dirname(folder)) {
    const found = machine.folder(folder);
    if (found && !allows(found, ENTER)) {
      const fix = `chmod o+x ${folder}, or put the socket in a folder that ${user.name} may enter`;
      return [{ name, status: "warn", what: `libvirt's QEMU (${user.name}) may not enter ${folder}`, fix }];
    }
    if (folder === dirname(folder)) break;
  }
  // A socket is made with the umask's permissions, in which "others" may not write; connecting needs write.
  const socket = { mode: port.mode ?? 0o755, uid: machine.uid, gid: port.gid ?? -1 };
  if (!allows(socket, WRITE)) {
    const fix = `add mode: "0660" and group: ${user.groupName} to the port`;
    return [{ name, status: "warn", what: `libvirt's QEMU (${user.name}) may not connect to ${port.path}`, fix }];
  }
  return [{ name, status: "ok", what: `libvirt's QEMU (${user.name}) may connect` }];
}

/** The user that runs libvirt's guests here, and the group of it that one usually shares with it. */
function qemuUser(machine: Machine): (User & { name: string; groupName: string }) | undefined {
  const users = (machine.read("/etc/passwd") ?? "").split("\n").map((line) => line.split(":"));
  const entry = users.find(([name]) => QEMU_USERS.includes(name ?? ""));
  if (entry === undefined) return undefined;
  const [name = "", , uid, gid] = entry;
  const gids = [Number(gid)];
  for (const line of (machine.read("/etc/group") ?? "").split("\n")) {
    const [, , groupId, members] = line.split(":");
    if (members?.split(",").includes(name)) gids.push(Number(groupId));
  }
  const groups = machine.read("/etc/group") ?? "";
  const groupName = ["kvm", "libvirt-qemu", "qemu"].find((g) => gids.includes(findGroup(groups, g) ?? -1)) ?? name;
  return { name, uid: Number(uid), gids, groupName };
}

/** Confinement by the kernel that permissions do not show. */
function confinement(machine: Machine): Check[] {
  const checks: Check[] = [];
  if (qemuUser(machine) === undefined) return checks;
  if (machine.read("/sys/module/apparmor/parameters/enabled")?.trim() === "Y") {
    checks.push({
      name: "apparmor",
      status: "warn",
      what: "AppArmor is on: it lets libvirt's guests open only what their profile names",
      fix:
        "if a guest is refused (journalctl -k | grep DENIED), " +
        "allow the path in /etc/apparmor.d/local/abstractions/libvirt-qemu",
    });
  }
  if (machine.read("/sys/fs/selinux/enforce")?.trim() === "1") {
    checks.push({
      name: "selinux",
      status: "warn",
      what: "SELinux enforces: libvirt's guests reach only sockets with a label of theirs",
      fix:
        "if a guest is refused (ausearch -m avc -ts recent), " +
        "label the folder: semanage fcontext -a -t svirt_image_t, then restorecon",
    });
  }
  return checks;
}
