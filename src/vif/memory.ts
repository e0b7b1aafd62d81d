// The guest's memory as a vhost-user switch needs it: in a file that both map. What the domain's XML says for it, and
// the arguments that libvirt 9.0 makes of that (qemuBuildMemoryBackendProps and qemuBuildNumaCommandLine).

import type { QemuArgument } from "./qemu.js";
import { VifRefusal } from "./refusal.js";
import type { QemuInput } from "./schema.js";

/** How a guest's memory is backed. With "none" and "memfd-private" it is QEMU's own, and no switch can map it. */
const BACKINGS = [
  ...(["memfd", "memfd-numa", "memfd-hugepages", "memfd-hugepages-numa", "memfd-private"] as const),
  ...(["file", "file-numa", "hugepages", "hugepages-numa", "none"] as const),
] as const;
type Backing = (typeof BACKINGS)[number];

const DEFAULTS = { memoryMb: 256, vcpus: 4, machine: "q35" };
/** What the machine's short names stand for in QEMU 7.2. */
const MACHINES: Record<string, string> = { q35: "pc-q35-7.2", pc: "pc-i440fx-7.2" };
const MACHINE = /^[A-Za-z0-9._+-]+$/;
const HUGE_PAGE = 2 * 1024 * 1024;
/** The domain that the arguments are for: its number and its name. */
const DOMAIN = "1-vm1";
/** Where libvirt keeps memory files, by its URI. An embedded libvirt puts a piece of its root's hash into the name. */
const FOLDERS = {
  "qemu:///system": { ram: "/var/lib/libvirt/qemu/ram", hugepages: "/dev/hugepages/libvirt/qemu" },
  "qemu:///embed": { ram: "/var/lib/libvirt/lib/qemu/ram", hugepages: "/dev/hugepages/libvirt/qemu-embed-9b2cb4c1" },
} as const;
type Uri = keyof typeof FOLDERS;

/**
 * -m, -object, -numa and -machine of a domain's memory.
 * @throws VifRefusal for a backing or a machine that there is not
 */
export function memoryArguments(input: QemuInput): QemuArgument[] {
  const wanted = input.backing ?? "memfd";
  const backing = BACKINGS.find((name) => name === wanted);
  if (backing === undefined) {
    throw new VifRefusal(`qemu: backing "${wanted}" is none of ${BACKINGS.join(", ")}`);
  }
  const given = input.machine ?? DEFAULTS.machine;
  if (!MACHINE.test(given)) throw new VifRefusal(`qemu: machine "${given}" is no machine's name: use "q35"`);
  const uri = input.uri ?? "qemu:///embed";
  if (!Object.hasOwn(FOLDERS, uri))
    throw new VifRefusal(`qemu: uri "${uri}" is none of ${Object.keys(FOLDERS).join(", ")}`);
  const memoryMb = input.memory_mb ?? DEFAULTS.memoryMb;
  const numa = backing.endsWith("-numa");
  const id = numa ? "ram-node0" : "pc.ram";
  const object = {
    ...backend(backing, id, uri as Uri),
    // A migrated guest must find its memory under the name that older machines gave it.
    ...(!numa && backing !== "none" && { "x-use-canonical-path-for-ramblock-id": false }),
    ...((backing.startsWith("file") || backing.includes("hugepages")) && { prealloc: true }),
    size: memoryMb * 1024 * 1024,
  };
  const machine = `${MACHINES[given] ?? given},usb=off,dump-guest-core=off${numa ? "" : `,memory-backend=${id}`}`;
  const node = `node,nodeid=0,cpus=${range(input.vcpus ?? DEFAULTS.vcpus)},memdev=${id}`;
  return [
    ["-m", String(memoryMb)],
    ["-object", JSON.stringify(object)],
    ...(numa ? [["-numa", node] satisfies QemuArgument] : []),
    ["-machine", machine],
  ];
}

function range(cpus: number): string {
  return cpus === 1 ? "0" : `0-${cpus - 1}`;
}

function backend(backing: Backing, id: string, uri: Uri) {
  switch (backing) {
    case "none":
      return { "qom-type": "memory-backend-ram", id };
    case "memfd-private":
      return { "qom-type": "memory-backend-memfd", id };
    case "memfd-hugepages":
    case "memfd-hugepages-numa":
      return { "qom-type": "memory-backend-memfd", id, hugetlb: true, hugetlbsize: HUGE_PAGE, share: true };
    case "memfd":
    case "memfd-numa":
      return { "qom-type": "memory-backend-memfd", id, share: true };
    case "file":
    case "file-numa": {
      const path = `${FOLDERS[uri].ram}/${DOMAIN}/${id}`;
      return { "qom-type": "memory-backend-file", id, "mem-path": path, "discard-data": true, share: true };
    }
    default: {
      const path = `${FOLDERS[uri].hugepages}/${DOMAIN}`;
      return { "qom-type": "memory-backend-file", id, "mem-path": path, share: true };
    }
  }
}
