// The doctor's questions about socket paths: can they be made, are they free, can QEMU's user reach them. Looks only:
// it connects to nothing, because a connection to a listening port would be taken for a front-end.

import { dirname } from "node:path";
import type { PortConfig } from "../config/schema.js";
import type { Check } from "./doctor-checks.js";
import { libvirtChecks } from "./doctor-libvirt.js";
import type { Machine } from "./doctor-machine.js";

/** Checks of the control socket and of each port's. */
export function socketChecks(machine: Machine, control: string, ports: readonly PortConfig[]): Check[] {
  return [
    runtimeFolder(machine),
    listening(machine, "control", control, "a switch is running here"),
    ...ports.map((port) =>
      port.role === "listen" ? listening(machine, `port ${port.name}`, port.path) : connecting(machine, port),
    ),
    ...libvirtChecks(machine, ports),
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
