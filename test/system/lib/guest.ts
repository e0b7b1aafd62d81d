// A real guest: Linux under QEMU (TCG, so it runs anywhere) with one vhost-user NIC, and a shell in it for the test.
import { existsSync, unlinkSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { initramfs } from "./initramfs.js";
import { busyboxFile, kernel, type QemuKind, qemuFiles } from "./needs.js";
import { type Child, scratch, start, waitFor } from "./process.js";

export interface GuestOptions {
  /** Which QEMU, see needs.ts. Debian 12's 7.2 crashes with MSI-X under TCG and gets vectors=0. */
  qemu: QemuKind;
  name: string;
  /** eth0's hardware address and its IPv4 address with prefix length. */
  mac: string;
  address: string;
  /** The vhost-user socket. */
  socket: string;
  /** True: QEMU listens on the socket and starts when the switch connects; false (default): QEMU connects, and again. */
  server?: boolean;
  memoryMb?: number;
  /** More properties of the virtio-net-pci device, such as "mrg_rxbuf=off" or "packed=on". */
  device?: readonly string[];
}

/** How a command in the guest ended: its exit status, and stdout and stderr together. */
export interface CommandResult {
  status: number;
  output: string;
}

/** A command that runs on in the guest. */
export interface Job {
  /** Waits for its end. Throws when `limitMs` is over. */
  result(limitMs: number): Promise<CommandResult>;
  /** Kills it and everything it started. */
  stop(): Promise<void>;
}

export interface Guest {
  readonly name: string;
  readonly mac: string;
  /** IPv4 address without prefix length. */
  readonly ip: string;
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
  /** SIGKILL to QEMU. */
  kill(): Promise<void>;
}

const kernelWords = [
  "console=ttyS0 quiet loglevel=4 panic=-1 tsc=reliable no_timer_check mitigations=off random.trust_cpu=on",
  // Without IPv6 a guest sends nothing by itself, so the tests can count frames.
  "ipv6.disable=1 rcupdate.rcu_expedited=1 noreplace-smp nokaslr",
].join(" ");

/** Starts QEMU; the guest is there when `booted` says so. */
export async function startGuest(options: GuestOptions): Promise<Guest> {
  const { name, mac, address, socket, server = false, memoryMb = 160, device = [] } = options;
  const program = qemuFiles[options.qemu];
  if (program === undefined || kernel === undefined || busyboxFile === undefined) {
    throw new Error(`guest ${name}: QEMU ${options.qemu} or a guest kernel is missing; see describeNeeding`);
  }
  // `reconnect` is in seconds and gone in newer QEMUs, `reconnect-ms` came with 9.2.
  const again = options.qemu === "7.2" ? "reconnect=1" : "reconnect-ms=200";
  const vectors = options.qemu === "7.2" ? ["vectors=0"] : [];
  const consoleFile = join(scratch, `${name}-console.log`);
  const channelPath = join(scratch, `${name}-channel.sock`);
  if (existsSync(channelPath)) unlinkSync(channelPath);

  const channel = channelServer(channelPath);
  const qemu = start(name, program, [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-smp", "1", "-m", `${memoryMb}M`],
    ...["-object", `memory-backend-memfd,id=m,size=${memoryMb}M,share=on`],
    ...["-machine", "q35,accel=tcg,memory-backend=m,usb=off,vmport=off"],
    ...["-kernel", kernel.image, "-initrd", initramfs(kernel, busyboxFile)],
    ...["-append", `${kernelWords} rb.address=${address}`],
    ...["-chardev", `file,id=console,path=${consoleFile},append=on`, "-serial", "chardev:console"],
    ...["-device", "virtio-serial-pci,max_ports=2", "-chardev", `socket,id=channel,path=${channelPath}`],
    ...["-device", "virtserialport,chardev=channel,nr=1"],
    ...["-chardev", `socket,id=net,path=${socket},${server ? "server=on" : again}`],
    ...["-netdev", "vhost-user,id=net,chardev=net"],
    ...["-device", ["virtio-net-pci,netdev=net,romfile=", `mac=${mac}`, ...vectors, ...device].join(",")],
  ]);

  let commands = 0;
  const speak = async (command: string, limitMs: number): Promise<CommandResult> => {
    const id = `c${++commands}`;
    const end = new RegExp(`^(.*)\\n@@end ${id} (\\d+)\\n`, "s");
    channel.text = "";
    // The guest's own limit is the earlier one (its clock runs in whole seconds), so the channel stays usable.
    channel.socket?.write(`${id} ${Math.ceil(limitMs / 1000)} ${command}\n`);
    const what = `the end of \`${command}\` in guest ${name}`;
    const [, output, status] = await waitFor(what, limitMs + 5000, () => end.exec(channel.text) ?? undefined, [
      qemu,
    ]).catch((error: Error) => {
      throw new Error(`${error.message}; its channel says: ${JSON.stringify(channel.text.slice(-500))}`);
    });
    if (Number(status) === 137) throw new Error(`waited ${limitMs / 1000} s in vain for ${what}: ${output}`);
    return { output: output!, status: Number(status) };
  };
  const booted = async (limitMs = 120_000): Promise<void> => {
    await waitFor(`guest ${name} to boot`, limitMs, () => channel.boots.length > 0, [qemu]);
  };
  const must = async (command: string, limitMs = 30_000): Promise<string> => {
    const { status, output } = await speak(command, limitMs);
    if (status !== 0) throw new Error(`\`${command}\` in guest ${name} ended with status ${status}:\n${output}`);
    return output;
  };

  return {
    name,
    mac,
    ip: address.split("/")[0]!,
    qemu,
    console: consoleFile,
    booted,
    must,
    run: (command, limitMs = 30_000) => speak(command, limitMs),
    async job(command) {
      const file = `/tmp/job${++commands}`;
      const quoted = command.replaceAll("'", "'\\''");
      // setsid makes the shell's pid the number of a process group, which is what stop kills.
      await must(`(setsid sh -c 'echo $$ >${file}.pid; ${quoted}' >${file} 2>&1; echo $? >${file}.status) &`);
      return {
        async result(limitMs) {
          const what = `the end of job \`${command}\` in guest ${name}`;
          const done = async () => (await speak(`cat ${file}.status && cat ${file}`, 30_000)).output;
          const text = await waitFor(what, limitMs, async () => /^(\d+)\n(.*)/s.exec(await done()) ?? undefined, [
            qemu,
          ]);
          return { status: Number(text[1]), output: text[2]! };
        },
        async stop() {
          await speak(`kill -9 -$(cat ${file}.pid)`, 30_000);
        },
      };
    },
    async reboot(limitMs = 120_000) {
      const boots = channel.boots.length;
      // Not `reboot -f`: Linux 6.1 breaks its virtqueues at shutdown, and its virtio_net then loops for ever in the
      // softirq that cleans the transmitq when frames were in flight (soft lockup, with any back-end).
      channel.socket?.write("reboot 10 echo b >/proc/sysrq-trigger\n");
      await waitFor(`guest ${name} to be back after its reboot`, limitMs, () => channel.boots.length > boots, [qemu]);
    },
    kill: () => qemu.end("SIGKILL"),
  };
}

/** The host's end of the command channel. */
interface Channel {
  socket?: Socket;
  /** What came since the last command was sent. */
  text: string;
  /** Boot ids, one per boot of the guest. */
  boots: string[];
}

/** Waits for QEMU to connect the channel's port; QEMU is the client, so nothing the guest says first is lost. */
function channelServer(path: string): Channel {
  const channel: Channel = { text: "", boots: [] };
  const server = createServer((socket) => {
    channel.socket = socket;
    // One guest has one channel: no second connection will come.
    server.close();
    socket.setEncoding("utf8");
    socket.on("error", () => socket.destroy());
    socket.on("data", (text: string) => {
      channel.text += text;
      for (let match = ready.exec(channel.text); match !== null; match = ready.exec(channel.text)) {
        channel.boots.push(match[1]!);
        channel.text = channel.text.slice(match.index + match[0].length);
      }
    });
  });
  server.listen(path);
  return channel;
}

const ready = /@@ready (\S+)\n/;
