// The guest's memory as a vhost-user switch needs it: in a file that both map. What the domain's XML says for it, and
// the arguments that libvirt 9.0 makes of that (qemuBuildMemoryBackendProps and qemuBuildNumaCommandLine).

import type { QemuArgument } from "./qemu.js";
import { VifRefusal } from "./refusal.js";
import type { NovaInput, QemuInput } from "./schema.js";
import { writeXml, type XmlNode } from "./xml.js";

/** How a guest's memory is backed, and whether a switch can map it. */
export const BACKINGS = {
  memfd: { shared: true, text: "an anonymous file, shared" },
  file: { shared: true, text: "a file on disk, shared (Nova's [libvirt] file_backed_memory)" },
  "hugepages-numa": { shared: true, text: "huge pages in NUMA cells, shared (Nova's hw:mem_page_size)" },
  hugepages: { shared: true, text: "huge pages, shared" },
  "memfd-numa": { shared: true, text: "an anonymous file for each NUMA cell, shared" },
  "memfd-hugepages": { shared: true, text: "an anonymous file of huge pages, shared" },
  none: { shared: false, text: "QEMU's own memory: no switch can map it" },
} as const;
export type Backing = keyof typeof BACKINGS;

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

/** The backing that Nova gives a guest; "none" when nothing asks for one, and then vhost-user can not work. */
export function novaBacking({ flavor, conf }: NovaInput): Backing {
  if (Number(conf?.["libvirt.file_backed_memory"] ?? 0) > 0) return "file";
  return flavor?.extra_specs?.["hw:mem_page_size"] === undefined ? "none" : "hugepages-numa";
}

/** <memoryBacking>, and <cpu> where there are NUMA cells, for the domain of such a guest. */
export function memoryXml(backing: Backing, memoryMb: number, vcpus: number): string {
  const element = (name: string, attributes: XmlNode[1] = {}, ...children: XmlNode[]): XmlNode => [
    name,
    attributes,
    ...children,
  ];
  const numa = backing.endsWith("-numa");
  const children: XmlNode[] = [];
  if (backing === "hugepages-numa") {
    children.push(element("hugepages", {}, element("page", { size: HUGE_PAGE / 1024, unit: "KiB", nodeset: "0" })));
  } else if (backing.includes("hugepages")) children.push(element("hugepages"));
  if (backing.startsWith("memfd")) children.push(element("source", { type: "memfd" }));
  if (backing === "file") children.push(element("source", { type: "file" }));
  if (BACKINGS[backing].shared && !numa) children.push(element("access", { mode: "shared" }));
  if (backing === "file") children.push(element("allocation", { mode: "immediate" }), element("discard"));
  const cell = element("cell", {
    id: 0,
    cpus: range(vcpus),
    memory: memoryMb * 1024,
    unit: "KiB",
    memAccess: "shared",
  });
  return (
    (children.length > 0 ? writeXml(element("memoryBacking", {}, ...children)) : "") +
    (numa ? writeXml(element("cpu", {}, element("numa", {}, cell))) : "")
  );
}

/**
 * -m, -object, -numa and -machine of a domain's memory.
 * @throws VifRefusal for a backing or a machine that there is not
 */
export function memoryArguments(input: QemuInput): QemuArgument[] {
  const backing = input.backing ?? "memfd";
  if (!Object.hasOwn(BACKINGS, backing)) {
    throw new VifRefusal(`qemu: backing "${backing}" is none of ${Object.keys(BACKINGS).join(", ")}`);
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
    ...backend(backing as Backing, id, uri as Uri),
    // A migrated guest must find its memory under the name that older machines gave it.
    ...(!numa && backing !== "none" && { "x-use-canonical-path-for-ramblock-id": false }),
    ...((backing === "file" || backing.includes("hugepages")) && { prealloc: true }),
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
    case "memfd-hugepages":
      return { "qom-type": "memory-backend-memfd", id, hugetlb: true, hugetlbsize: HUGE_PAGE, share: true };
    case "memfd":
    case "memfd-numa":
      return { "qom-type": "memory-backend-memfd", id, share: true };
    case "file": {
      const path = `${FOLDERS[uri].ram}/${DOMAIN}/${id}`;
      return { "qom-type": "memory-backend-file", id, "mem-path": path, "discard-data": true, share: true };
    }
    default: {
      const path = `${FOLDERS[uri].hugepages}/${DOMAIN}`;
      return { "qom-type": "memory-backend-file", id, "mem-path": path, share: true };
    }
  }
}
