// A libvirt of one test file's own: a session daemon with configuration, sockets and state in the scratch folder, in a
// user and a process namespace. The user namespace makes it an unprivileged daemon also when root runs the tests (root's
// would be the system's, in /etc and /run); with the process namespace the kernel ends every QEMU it has started, which
// are no children of the test, when it ends.
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { libvirtdFile, namespaces, virshFile } from "./needs.js";
import { type Child, scratch, start, waitFor } from "./process.js";

const execute = promisify(execFile);
let daemons = 0;

export interface Libvirt {
  readonly daemon: Child;
  /** Runs virsh on this daemon and returns its stdout. Throws with what virsh said when it fails or takes too long. */
  virsh(...words: string[]): Promise<string>;
  /** Kills libvirtd, without what it has started, and waits until its successor answers. */
  restart(): Promise<void>;
  /** Writes XML to a file named `name`.xml, because virsh reads nothing else; returns its path. */
  xmlFile(name: string, xml: string): string;
}

/** Starts the daemon, with `variables` in its environment, and waits until it has asked the installed QEMU what it can do. */
export async function startLibvirt(variables: Readonly<Record<string, string>> = {}): Promise<Libvirt> {
  if (libvirtdFile === undefined || virshFile === undefined) {
    throw new Error("libvirtd or virsh is missing; see describeNeeding");
  }
  const home = join(scratch, `lv${++daemons}`);
  const folders = { XDG_RUNTIME_DIR: "run", XDG_CONFIG_HOME: "config", XDG_CACHE_HOME: "cache", XDG_DATA_HOME: "data" };
  for (const folder of Object.values(folders)) mkdirSync(join(home, folder), { recursive: true, mode: 0o700 });
  mkdirSync(join(home, "config", "libvirt"));
  // Without this QEMU's output goes to virtlogd, one more daemon.
  writeFileSync(join(home, "config", "libvirt", "qemu.conf"), 'stdio_handler = "file"\n');
  const configuration = join(home, "libvirtd.conf");
  writeFileSync(configuration, 'log_outputs = "3:stderr"\n');

  const environment = [
    ...Object.entries(folders).map(([name, folder]) => `${name}=${join(home, folder)}`),
    ...Object.entries(variables).map(([name, value]) => `${name}=${value}`),
  ];
  const daemon = start("libvirtd", "unshare", [
    ...[...namespaces, "--kill-child"],
    // The first process of a process namespace has to reap the others; libvirtd does not, the shell does while it waits.
    // A libvirtd that is killed is started again, as systemd would.
    ...["env", `HOME=${home}`, ...environment, "sh", "-c", 'while "$@"; [ $? -eq 137 ]; do :; done', "sh"],
    ...[libvirtdFile, "--config", configuration],
  ]);

  const socket = join(home, "run", "libvirt", "libvirt-sock");
  const virsh = async (...words: string[]): Promise<string> => {
    const connect = ["--quiet", "--connect", `qemu+unix:///session?socket=${socket}`];
    // An unanswered virsh is ended; what it had asked for may still happen in the daemon.
    const { stdout } = await execute(virshFile!, [...connect, ...words], { timeout: 60_000, killSignal: "SIGKILL" });
    return stdout;
  };
  // The first answer takes seconds: the daemon starts the installed QEMU to see what it can do.
  let refusal = "";
  const answers = () =>
    virsh("version").then(Boolean, (error: Error) => {
      refusal = error.message;
    });
  const ready = () =>
    waitFor("libvirtd to answer", 60_000, answers, [daemon]).catch((error: Error) => {
      throw new Error(`${error.message}; ${refusal}`);
    });
  await ready();
  return {
    daemon,
    virsh,
    async restart() {
      const before = libvirtdOf(daemon);
      process.kill(before, "SIGKILL");
      await waitFor("another libvirtd", 20_000, () => isAnother(libvirtdOf(daemon), before), [daemon]);
      await ready();
    },
    xmlFile(name, xml) {
      const file = join(home, `${name}.xml`);
      writeFileSync(file, xml);
      return file;
    },
  };
}

const isAnother = (pid: number, before: number) => pid !== 0 && pid !== before;

/** The process of libvirtd below the shell that started it; 0 when there is none. */
function libvirtdOf(daemon: Child): number {
  const childrenOf = (pid: number): number[] => {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  };
  const [shell] = childrenOf(daemon.pid);
  const isLibvirtd = (pid: number) => readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "libvirtd";
  return (shell === undefined ? [] : childrenOf(shell)).find(isLibvirtd) ?? 0;
}

/** Text inside an XML element or a quoted attribute. */
export function xmlText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export interface DomainOptions {
  name: string;
  /** The QEMU program. */
  emulator: string;
  memoryMb: number;
  kernel: string;
  initrd: string;
  /** Kernel command line. */
  append: string;
  /** Socket on which the domain's Channel listens. */
  channel: string;
  /** File for the guest's console. */
  console: string;
  /** The memoryBacking element, and what goes with it. */
  memory: string;
  /** The vhostuser interface, or several. */
  nic: string;
  vcpus?: number;
  /** Elements of libvirt's namespace for QEMU, such as qemu:override. */
  qemu?: string;
}

/** A domain for TCG with direct kernel boot, its NICs, the command channel and nothing else. */
export function domainXml(options: DomainOptions): string {
  const text = (key: "name" | "emulator" | "kernel" | "initrd" | "append" | "channel" | "console") =>
    xmlText(options[key]);
  return `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>${text("name")}</name>
  <memory unit='MiB'>${options.memoryMb}</memory>
  ${options.memory}
  <vcpu>${options.vcpus ?? 1}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${text("kernel")}</kernel>
    <initrd>${text("initrd")}</initrd>
    <cmdline>${text("append")}</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>${text("emulator")}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <!-- On bus 0, so that the guest sees it before the NIC: the channel's device has the number of this one. -->
    <controller type='virtio-serial' ports='2'>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/>
    </controller>
    <serial type='file'><source path='${text("console")}' append='on'/></serial>
    <channel type='unix'>
      <source mode='connect' path='${text("channel")}'/>
      <target type='virtio' name='ringbridge'/>
    </channel>
    ${options.nic}
  </devices>
  ${options.qemu ?? ""}
</domain>
`;
}
