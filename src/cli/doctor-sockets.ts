// The doctor's questions about socket paths: can they be made, are they free, can QEMU's user reach them. Looks only:
// it connects to nothing, because a connection to a listening port would be taken for a front-end.

import { dirname } from "node:path";
import { findGroup } from "../config/group.js";
import type { PortConfig } from "../config/schema.js";
import type { Check } from "./doctor-checks.js";
import type { Machine } from "./doctor-machine.js";

/** Users that run QEMU for libvirt: Debian's and Ubuntu's, Red Hat's and SUSE's. */
const QEMU_USERS = ["libvirt-qemu", "qemu"];

/** Checks of the control socket and of each port's. */
export function socketChecks(machine: Machine, control: string, ports: readonly PortConfig[]): Check[] {
  return [
    runtimeFolder(machine),
    listening(machine, "control", control, "a switch is running here"),
    ...ports.map((port) =>
      port.role === "listen" ? listening(machine, `port ${port.name}`, port.path) : connecting(machine, port),
    ),
    ...ports.flatMap((port) => (port.role === "listen" ? reachable(machine, port) : [])),
    ...confinement(machine),
  ];
}

function runtimeFolder(machine: Machine): Check {
  const name = "XDG_RUNTIME_DIR";
  const folder = machine.env.XDG_RUNTIME_DIR;
  if (folder === undefined || folder === "") {
    return { name, status: "ok", what: "is not set: the control socket is in /tmp unless --control says otherwise" };
  }
  if (machine.folder(folder) === undefined) {
    const fix = "log in through a session manager that makes it, unset it, or use --control";
    return { name, status: "fail", what: `${folder} is not a folder that is there`, fix };
  }
  return { name, status: "ok", what: folder };
}

/** A socket that the switch makes. With `running`, one that is in use is good news. */
function listening(machine: Machine, name: string, path: string, running?: string): Check {
  const folder = dirname(path);
  if (machine.folder(folder) === undefined) {
    return { name, status: "fail", what: `the folder ${folder} is not there`, fix: `mkdir -p ${folder}` };
  }
  if (!machine.mayWrite(folder)) {
    const fix = "change the folder's owner or permissions, or choose another path";
    return { name, status: "fail", what: `this user may not make a socket in ${folder}`, fix };
  }
  switch (machine.kindOf(path)) {
    case "nothing":
      return { name, status: "ok", what: `${path} can be made` };
    case "socket":
      if (!isListened(machine, path)) {
        return { name, status: "ok", what: `${path} is left over from a process that ended: run will replace it` };
      }
      if (running !== undefined) return { name, status: "ok", what: `${path}: ${running}` };
      return {
        name,
        status: "warn",
        what: `${path} is in use by a running process`,
        fix: "well if that is your switch; otherwise stop it (ss -xlp shows who it is) or choose another path",
      };
    default: {
      const fix = "move it away, or choose another path";
      return { name, status: "fail", what: `${path} is there and is no socket`, fix };
    }
  }
}

/** A socket that the front-end makes. */
function connecting(machine: Machine, port: PortConfig): Check {
  const name = `port ${port.name}`;
  const kind = machine.kindOf(port.path);
  if (kind === "socket") return { name, status: "ok", what: `${port.path} is there` };
  if (kind === "nothing") return { name, status: "ok", what: `${port.path} is not there yet: run waits for it` };
  return { name, status: "fail", what: `${port.path} is there and is no socket`, fix: "correct the path" };
}

/** True when a process of this network namespace listens on a unix socket of that path. */
function isListened(machine: Machine, path: string): boolean {
  // Num RefCount Protocol Flags Type St Inode Path; flag 0x10000 is __SO_ACCEPTCON.
  return (machine.read("/proc/net/unix") ?? "").split("\n").some((line) => {
    const match = /^\S+ \S+ \S+ ([0-9A-Fa-f]+) \S+ \S+ +\d+ (.*)$/.exec(line);
    return match !== null && match[2] === path && (Number.parseInt(match[1]!, 16) & 0x10000) !== 0;
  });
}

/** Whether libvirt's QEMU, where it is installed and another user than ours, gets to a listening socket. */
function reachable(machine: Machine, port: PortConfig): Check[] {
  const user = qemuUser(machine);
  if (user === undefined || user.uid === machine.uid) return [];
  const name = `port ${port.name} for ${user.name}`;
  const allows = (entry: { mode: number; uid: number; gid: number }, bit: number) =>
    ((entry.mode >> (entry.uid === user.uid ? 6 : user.gids.includes(entry.gid) ? 3 : 0)) & bit) !== 0;

  for (let folder = dirname(port.path); ; folder = dirname(folder)) {
    const found = machine.folder(folder);
    if (found && !allows(found, 1)) {
      const fix = `chmod o+x ${folder}, or put the socket in a folder that ${user.name} may enter`;
      return [{ name, status: "warn", what: `libvirt's QEMU (${user.name}) may not enter ${folder}`, fix }];
    }
    if (folder === dirname(folder)) break;
  }
  // A socket is made with the umask's permissions, in which "others" may not write; connecting needs write.
  const socket = { mode: port.mode ?? 0o755, uid: machine.uid, gid: port.gid ?? -1 };
  if (!allows(socket, 2)) {
    const group = machine.read("/etc/group") ?? "";
    const usual =
      ["kvm", "libvirt-qemu", "qemu"].find((g) => user.gids.includes(findGroup(group, g) ?? -1)) ?? user.name;
    const fix = `add mode: "0660" and group: ${usual} to the port`;
    return [{ name, status: "warn", what: `libvirt's QEMU (${user.name}) may not connect to ${port.path}`, fix }];
  }
  return [{ name, status: "ok", what: `libvirt's QEMU (${user.name}) may connect` }];
}

/** Number and groups of the user that runs libvirt's guests here. */
function qemuUser(machine: Machine): { name: string; uid: number; gids: number[] } | undefined {
  const users = (machine.read("/etc/passwd") ?? "").split("\n").map((line) => line.split(":"));
  const entry = users.find(([name]) => QEMU_USERS.includes(name ?? ""));
  if (entry === undefined) return undefined;
  const [name = "", , uid, gid] = entry;
  const gids = [Number(gid)];
  for (const line of (machine.read("/etc/group") ?? "").split("\n")) {
    const [, , groupId, members] = line.split(":");
    if (members?.split(",").includes(name)) gids.push(Number(groupId));
  }
  return { name, uid: Number(uid), gids };
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
