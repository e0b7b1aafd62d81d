// The QEMU that a libvirt of these tests has started, as the kernel shows it.
import { readdirSync, readFileSync } from "node:fs";
import { scratch } from "../lib/process.js";

export interface QemuProcess {
  pid: number;
  /** Its arguments. */
  line: string[];
  /** In octal digits. */
  umask: string;
}

/** The QEMU of a domain; throws when it does not run. */
export function qemuOf(domain: string): QemuProcess {
  const found = findQemu(domain);
  if (found === undefined) throw new Error(`no QEMU of the domain ${domain} runs`);
  return found;
}

/** The QEMU of a domain, if it runs. */
export function findQemu(domain: string): QemuProcess | undefined {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const read = (file: string) => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, "utf8");
      } catch {
        // It has ended meanwhile.
        return "";
      }
    };
    const line = read("cmdline").split("\0").slice(0, -1);
    // Others on this machine may run a domain of this name: ours has its channel in our folder.
    if (!line.includes(`guest=${domain},debug-threads=on`) || !line.some((word) => word.includes(scratch))) continue;
    return { pid: Number(pid), line, umask: /^Umask:\s*(\d+)/m.exec(read("status"))?.[1] ?? "?" };
  }
  return undefined;
}
