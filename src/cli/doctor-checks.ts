// The doctor's questions about the machine as such; those about socket paths are in doctor-sockets.ts.

import type { Machine } from "./doctor-machine.js";
import { formatBytes } from "./table.js";

/** One answer of the doctor: `fix` is there unless all is well. */
export interface Check {
  name: string;
  status: "ok" | "warn" | "fail";
  what: string;
  fix?: string;
}

/** Descriptors of one port with `pairs` queue pairs: listener, connection, kick and call per queue, memory regions. */
function descriptorsOf(pairs: number): number {
  return 2 + pairs * 2 * 2 + 8;
}

/** What the process needs beside its ports: Node, the workers' eventfds, the control socket. */
const BASE_DESCRIPTORS = 64;

/**
 * Checks of the machine; `pairsOfPorts` has the queue pairs of each configured port, `postcopy` says whether one of them
 * is to offer postcopy migration.
 */
export function machineChecks(machine: Machine, pairsOfPorts: readonly number[], postcopy = false): Check[] {
  return [
    node(machine),
    systemCalls(machine),
    memory(machine),
    mapping(machine),
    userfault(machine, postcopy),
    openFiles(machine, pairsOfPorts),
    mappingsLimit(machine),
    sharedMemoryFolder(machine),
    hugePages(machine),
    qemu(machine),
  ];
}

function node({ nodeVersion }: Machine): Check {
  const [major = 0, minor = 0] = nodeVersion.split(".").map(Number);
  const recent = major > 20 || (major === 20 && minor >= 19);
  return recent
    ? { name: "node", status: "ok", what: `Node.js ${nodeVersion}` }
    : {
        name: "node",
        status: "fail",
        what: `Node.js ${nodeVersion} is too old`,
        fix: "install Node.js 20.19 or later",
      };
}

function systemCalls(machine: Machine): Check {
  const name = "system-calls";
  const fault = machine.systemCallFault();
  if (fault === undefined) {
    return { name, status: "ok", what: `koffi loads and calls the C library of ${machine.platform} ${machine.arch}` };
  }
  return {
    name,
    status: "fail",
    what: fault,
    fix: "run it on Linux on x86-64 or arm64, installed there by npm install",
  };
}

function memory(machine: Machine): Check {
  const name = "memory";
  const fault = machine.memoryFault();
  if (fault === undefined) return { name, status: "ok", what: "4 GiB of addresses for guest memory can be reserved" };
  const limit = limitOf(machine, "Max address space");
  return {
    name,
    status: "fail",
    what: `4 GiB of addresses for guest memory cannot be reserved: ${fault}`,
    fix:
      limit === undefined || limit === Number.POSITIVE_INFINITY
        ? "allow overcommit (sysctl vm.overcommit_memory=0): the memory costs nothing until guests use it"
        : `lift the address space limit of ${formatBytes(limit)} (ulimit -v unlimited, LimitAS=infinity in systemd)`,
  };
}

function mapping(machine: Machine): Check {
  const name = "mapping";
  const fault = machine.mappingFault();
  return fault === undefined
    ? { name, status: "ok", what: "a memory file can be mapped into the WebAssembly memory" }
    : {
        name,
        status: "fail",
        what: `a memory file cannot be mapped into the WebAssembly memory: ${fault}`,
        fix: "allow memfd_create and mmap to this process: look at its container's seccomp profile",
      };
}

/** Only ports with `postcopy: true` need it. */
function userfault(machine: Machine, postcopy: boolean): Check {
  const name = "postcopy";
  const fault = machine.userfaultFault();
  if (fault === undefined) return { name, status: "ok", what: "ports with postcopy: true offer postcopy migration" };
  const what = `no port can offer postcopy migration: ${fault}`;
  if (!postcopy) return { name, status: "ok", what: `${what}; none is to` };
  const fix = "use Linux 5.11 or later and allow userfaultfd in the seccomp profile, or give the user /dev/userfaultfd";
  return { name, status: "warn", what, fix };
}

function openFiles(machine: Machine, pairsOfPorts: readonly number[]): Check {
  const name = "open-files";
  const limit = limitOf(machine, "Max open files");
  const needed = BASE_DESCRIPTORS + pairsOfPorts.reduce((sum, pairs) => sum + descriptorsOf(pairs), 0);
  if (limit === undefined) {
    return { name, status: "warn", what: "the limit of open files is not known", fix: "mount /proc for this process" };
  }
  const fix = `raise it (ulimit -n ${Math.max(4096, needed)}, LimitNOFILE= in systemd)`;
  const what = limit === Number.POSITIVE_INFINITY ? "no limit of open files" : `${limit} files may be open at once`;
  if (limit < needed) return { name, status: "fail", what: `${what}, and these ports may need ${needed}`, fix };
  const ports = Math.floor((limit - needed) / descriptorsOf(8));
  if (ports < 16) return { name, status: "warn", what: `${what}: room for ${ports} more ports of 8 queue pairs`, fix };
  return { name, status: "ok", what };
}

function mappingsLimit(machine: Machine): Check {
  const name = "mappings";
  const limit = Number(machine.read("/proc/sys/vm/max_map_count") ?? Number.NaN);
  return limit < 65_530
    ? {
        name,
        status: "warn",
        what: `a process may have only ${limit} mappings: many guests, or very large ones, need more`,
        fix: "sysctl vm.max_map_count=65530",
      }
    : { name, status: "ok", what: "enough mappings for the memory of many guests" };
}

/** QEMU's memory-backend-file and libvirt's <source type='file'/> put guest RAM there; memfd does not need it. */
function sharedMemoryFolder(machine: Machine): Check {
  const name = "dev-shm";
  const free = machine.freeBytes("/dev/shm");
  const fix = "give guests memfd memory (memory-backend-memfd,share=on), or mount -o remount,size=… /dev/shm";
  if (free === undefined) return { name, status: "warn", what: "there is no /dev/shm for guests' memory", fix };
  const what = `${formatBytes(free)} are free in /dev/shm`;
  return free < 2 ** 30
    ? { name, status: "warn", what: `${what}: little, if guests keep their memory there`, fix }
    : { name, status: "ok", what };
}

function hugePages(machine: Machine): Check {
  const reserved = Number(machine.read("/proc/sys/vm/nr_hugepages") ?? 0);
  const what =
    reserved > 0 ? `${reserved} huge pages are reserved: guests may use them` : "no huge pages: none are needed";
  return { name: "huge-pages", status: "ok", what };
}

function qemu(machine: Machine): Check {
  const name = "qemu";
  const programs = [`qemu-system-${machine.arch === "arm64" ? "aarch64" : "x86_64"}`, "/usr/libexec/qemu-kvm"];
  const line = programs.map((program) => machine.firstLine(program, ["--version"])).find((text) => text !== undefined);
  const version = /version (\d+)\.(\d+)/.exec(line ?? "");
  if (version === null) return { name, status: "ok", what: "QEMU is not installed: guests here use another front-end" };
  const found = `QEMU ${version[1]}.${version[2]}`;
  const kvm = machine.kindOf("/dev/kvm") !== "nothing";
  if (version[1] === "7" && version[2] === "2") {
    const crash = "without KVM it crashes when a guest starts a vhost-user card with MSI-X, whatever the switch";
    const fix = "give the card vectors=0 (-device virtio-net-pci,…,vectors=0), or use a newer QEMU";
    if (!kvm) return { name, status: "warn", what: `${found}: ${crash}`, fix };
    return { name, status: "ok", what: `${found} with KVM (${crash}: ${fix})` };
  }
  return { name, status: "ok", what: `${found}${kvm ? " with KVM" : " (no /dev/kvm: emulation only)"}` };
}

/** A soft limit of this process, in the kernel's unit; Infinity when there is none, undefined when it is not known. */
function limitOf(machine: Machine, name: string): number | undefined {
  const line = machine
    .read("/proc/self/limits")
    ?.split("\n")
    .find((text) => text.startsWith(name));
  const soft = line?.slice(name.length).trim().split(/\s+/)[0];
  if (soft === undefined) return undefined;
  return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}
