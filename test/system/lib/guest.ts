// A real guest: Linux under QEMU (TCG, so it runs anywhere) with one vhost-user NIC, and a shell in it for the test.
import { existsSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { Channel, type CommandResult, type Job } from "./channel.js";
import { initramfs } from "./initramfs.js";
import { busyboxFile, kernel, type QemuKind, qemuFiles } from "./needs.js";
import { type Child, scratch, start } from "./process.js";
import { Qmp } from "./qmp.js";

export interface GuestOptions {
  /** Which QEMU, see needs.ts. Debian 12's 7.2 crashes with MSI-X under TCG and gets vectors=0. */
  qemu: QemuKind;
  name: string;
  /** eth0's hardware address and its IPv4 address with prefix length. */
  mac: string;
  address: string;
  /** The vhost-user socket. Without one the guest boots without a NIC, for plugNic to put one in. */
  socket?: string;
  /** True: QEMU listens on the socket and starts when the switch connects; false (default): QEMU connects, and again. */
  server?: boolean;
  memoryMb?: number;
  /** QEMU's machine: q35 (default), or pc, whose one PCI bus takes NICs of all kinds while the guest runs. */
  machine?: "q35" | "pc";
  /** More properties of the virtio-net-pci device, such as "mrg_rxbuf=off" or "packed=on". */
  device?: readonly string[];
  /** Programs of this machine that the guest gets, by name, such as "ethtool". */
  programs?: readonly string[];
  /** Files of this machine that the guest gets: where they lie there, and where here. */
  files?: Readonly<Record<string, string>>;
  /** True: QEMU has no kernel for it, the firmware gets one over the NIC (netbootFiles tells which). */
  netboot?: boolean;
  /** True: the guest speaks IPv6 too; false (default): it sends nothing by itself. */
  ipv6?: boolean;
  /**
   * Its NIC is behind a virtual IOMMU, and the guest's kernel gets these words beside intel_iommu=on: "" (default: lazy
   * flushing), "iommu.strict=1", "iommu=pt". Needs a QEMU with MSI-X.
   */
  iommu?: string;
  /** More arguments of QEMU. */
  more?: readonly string[];
}

export interface Guest {
  readonly name: string;
  readonly mac: string;
  /** IPv4 address without prefix length. */
  readonly ip: string;
  /** The same with it. */
  readonly address: string;
  readonly qemu: Child;
  /** File the guest's console is written to. */
  readonly console: string;
  /** Waits until the guest's init takes commands. */
  booted(limitMs?: number): Promise<void>;
  /** Runs a shell command line in the guest; throws when it takes longer than `limitMs` or the guest goes away. */
  run(command: string, limitMs?: number): Promise<CommandResult>;
  /** Like run, for a command that must succeed: throws with its output when its status is not 0. Returns the output. */
  must(command: string, limitMs?: number): Promise<string>;
  /** Starts a command in the guest and leaves it running. */
  job(command: string): Promise<Job>;
  /** Reboots at once, as a crash would (no clean shutdown of the driver), and waits until the guest is back. */
  reboot(limitMs?: number): Promise<void>;
  /** QEMU's monitor. */
  qmp(): Promise<Qmp>;
  /** SIGKILL to QEMU. */
  kill(): Promise<void>;
}

const kernelWords = [
  "console=ttyS0 quiet loglevel=4 panic=-1 tsc=reliable no_timer_check mitigations=off random.trust_cpu=on",
  "rcupdate.rcu_expedited=1 noreplace-smp nokaslr",
].join(" ");

/** What boots such a guest: kernel, initramfs and command line. */
function bootFiles(options: GuestOptions): { kernel: string; initrd: string; words: string } {
  if (kernel === undefined || busyboxFile === undefined) {
    throw new Error(`guest ${options.name}: a kernel or busybox is missing; see describeNeeding`);
  }
  // Without IPv6 a guest sends nothing by itself, so the tests can count frames.
  const ipv6 = options.ipv6 === true ? [] : ["ipv6.disable=1"];
  const address = options.socket === undefined ? [] : [`rb.address=${options.address}`];
  const iommu = options.iommu === undefined ? [] : ["intel_iommu=on", options.iommu];
  return {
    kernel: kernel.image,
    initrd: initramfs(kernel, busyboxFile, options.programs, options.files),
    words: [kernelWords, ...ipv6, ...address, ...iommu].join(" "),
  };
}

/** What a server must hold for a guest with `netboot`, and the iPXE script that fetches it from below `url`. */
export function netbootFiles(options: GuestOptions, url: string): { kernel: string; initrd: string; script: string } {
  const { kernel, initrd, words } = bootFiles(options);
  const script = ["#!ipxe", `kernel ${url}/kernel ${words} initrd=initrd`, `initrd ${url}/initrd`, "boot"];
  return { kernel, initrd, script: `${script.join("\n")}\n` };
}

/** Starts QEMU; the guest is there when `booted` says so. */
export async function startGuest(options: GuestOptions): Promise<Guest> {
  const {
    name,
    mac,
    address,
    socket,
    server = false,
    memoryMb = 160,
    machine = "q35",
    device = [],
    more = [],
  } = options;
  const program = qemuFiles[options.qemu];
  if (program === undefined) throw new Error(`guest ${name}: QEMU ${options.qemu} is missing; see describeNeeding`);
  // `reconnect` is in seconds and gone in newer QEMUs, `reconnect-ms` came with 9.2.
  const again = options.qemu === "7.2" ? "reconnect=1" : "reconnect-ms=200";
  const vectors = options.qemu === "7.2" ? ["vectors=0"] : [];
  const consoleFile = join(scratch, `${name}-console.log`);
  const channelPath = join(scratch, `${name}-channel.sock`);
  const monitorPath = join(scratch, `${name}-monitor.sock`);
  for (const path of [channelPath, monitorPath]) if (existsSync(path)) unlinkSync(path);
  const boot = bootFiles(options);
  const netboot = options.netboot === true;
  // What is behind it must come behind it here too; a card in a slot of its own is a PCI Express one, with ATS.
  const iommu =
    options.iommu === undefined
      ? []
      : ["-device", "intel-iommu,intremap=on,device-iotlb=on", "-device", "pcie-root-port,id=express,chassis=1"];
  const platform = options.iommu === undefined ? [] : ["bus=express", "iommu_platform=on", "ats=on"];
  const nic =
    socket === undefined
      ? []
      : [
          ...["-chardev", `socket,id=net,path=${socket},${server ? "server=on" : again}`],
          ...["-netdev", "vhost-user,id=net,chardev=net"],
          ...[
            "-device",
            [
              "virtio-net-pci,netdev=net,id=net0",
              `mac=${mac}`,
              ...(netboot ? ["bootindex=0"] : ["romfile="]),
              ...vectors,
              ...platform,
              ...device,
            ].join(","),
          ],
        ];

  const channel = await Channel.open(name, channelPath);
  const qemu = start(name, program, [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-smp", "1", "-m", `${memoryMb}M`],
    ...["-object", `memory-backend-memfd,id=m,size=${memoryMb}M,share=on`],
    ...["-machine", `${machine},accel=tcg,memory-backend=m,usb=off,vmport=off`],
    ...(netboot ? [] : ["-kernel", boot.kernel, "-initrd", boot.initrd, "-append", boot.words]),
    ...["-chardev", `file,id=console,path=${consoleFile},append=on`, "-serial", "chardev:console"],
    ...iommu,
    ...["-device", "virtio-serial-pci,max_ports=2", "-chardev", `socket,id=channel,path=${channelPath}`],
    ...["-device", "virtserialport,chardev=channel,nr=1"],
    ...["-qmp", `unix:${monitorPath},server=on,wait=off`],
    ...nic,
    ...more,
  ]);

  channel.needed = [qemu];
  let monitor: Promise<Qmp> | undefined;

  return {
    name,
    mac,
    ip: address.split("/")[0]!,
    address,
    qemu,
    console: consoleFile,
    booted: (limitMs) => channel.booted(limitMs),
    must: (command, limitMs) => channel.must(command, limitMs),
    run: (command, limitMs) => channel.run(command, limitMs),
    job: (command) => channel.job(command),
    async reboot(limitMs = 120_000) {
      const boots = channel.bootCount;
      // Not `reboot -f`: Linux 6.1 breaks its virtqueues at shutdown, and its virtio_net then loops for ever in the
      // softirq that cleans the transmitq when frames were in flight (soft lockup, with any back-end).
      channel.send("reboot 10 echo b >/proc/sysrq-trigger");
      await channel.booted(limitMs, boots + 1);
    },
    qmp: () => (monitor ??= Qmp.open(qemu, monitorPath)),
    kill: () => qemu.end("SIGKILL"),
  };
}
