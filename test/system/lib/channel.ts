// The host's end of a guest's command channel (initramfs.ts has the guest's end and the protocol): a shell in a real
// guest, whoever started it.
import { createServer, type Server, type Socket } from "node:net";
import { type Child, waitFor } from "./process.js";

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

const READY = /@@ready (\S+)\n/;

/** A unix socket to which QEMU connects the guest's virtio-serial port. */
export class Channel {
  private socket: Socket | undefined;
  /** What came since the last command was sent. */
  private text = "";
  /** Boot ids, one per boot of the guest. */
  private readonly boots: string[] = [];
  private commands = 0;
  /** Processes without which the guest is gone: every wait ends at once when one of them has. */
  needed: readonly Child[] = [];

  private constructor(
    private readonly name: string,
    private readonly server: Server,
  ) {}

  /** Listens at `path` for guest `name`. Before QEMU starts, so that nothing the guest says is lost. */
  static async open(name: string, path: string): Promise<Channel> {
    const server = createServer((socket) => {
      // One guest has one channel: no second connection will come.
      server.close();
      channel.attach(socket);
    });
    const channel = new Channel(name, server);
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
    return channel;
  }

  /** Nobody will connect: the path is free for another. */
  async close(): Promise<void> {
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** How often the guest has booted so far. */
  get bootCount(): number {
    return this.boots.length;
  }

  /** Waits until the guest's init takes commands, for boot number `boot` or a later one. */
  async booted(limitMs = 120_000, boot = 1): Promise<void> {
    const what = boot === 1 ? "to boot" : "to be back after its reboot";
    await waitFor(`guest ${this.name} ${what}`, limitMs, () => this.boots.length >= boot, this.needed);
  }

  /** Runs a shell command line in the guest; throws when it takes longer than `limitMs` or the guest goes away. */
  async run(command: string, limitMs = 30_000): Promise<CommandResult> {
    const id = this.nextId();
    const end = new RegExp(`^(.*)\\n@@end ${id} (\\d+)\\n`, "s");
    this.text = "";
    // The guest's own limit is the earlier one (its clock runs in whole seconds), so the channel stays usable.
    this.send(`${id} ${Math.ceil(limitMs / 1000)} ${command}`);
    const what = `the end of \`${command}\` in guest ${this.name}`;
    const match = await waitFor(what, limitMs + 5000, () => end.exec(this.text) ?? undefined, this.needed).catch(
      (error: Error) => {
        throw new Error(`${error.message}; its channel says: ${JSON.stringify(this.text.slice(-500))}`);
      },
    );
    const [, output, status] = match;
    if (Number(status) === 137) throw new Error(`waited ${limitMs / 1000} s in vain for ${what}: ${output}`);
    return { output: output!, status: Number(status) };
  }

  /** Like run, for a command that must succeed: throws with its output when its status is not 0. Returns the output. */
  async must(command: string, limitMs = 30_000): Promise<string> {
    const { status, output } = await this.run(command, limitMs);
    if (status !== 0) throw new Error(`\`${command}\` in guest ${this.name} ended with status ${status}:\n${output}`);
    return output;
  }

  /** Starts a command in the guest and leaves it running. */
  async job(command: string): Promise<Job> {
    const file = `/tmp/job-${this.nextId()}`;
    const quoted = command.replaceAll("'", "'\\''");
    // setsid makes the shell's pid the number of a process group, which is what stop kills.
    await this.must(`(setsid sh -c 'echo $$ >${file}.pid; ${quoted}' >${file} 2>&1; echo $? >${file}.status) &`);
    return {
      result: async (limitMs) => {
        const what = `the end of job \`${command}\` in guest ${this.name}`;
        const done = async () => (await this.run(`cat ${file}.status && cat ${file}`, 30_000)).output;
        const probe = async () => /^(\d+)\n(.*)/s.exec(await done()) ?? undefined;
        const text = await waitFor(what, limitMs, probe, this.needed);
        return { status: Number(text[1]), output: text[2]! };
      },
      stop: async () => {
        await this.run(`kill -9 -$(cat ${file}.pid)`, 30_000);
      },
    };
  }

  /** Sends one line of the protocol and waits for nothing. */
  send(line: string): void {
    this.socket?.write(`${line}\n`);
  }

  /** A word that no command of this channel has had. */
  nextId(): string {
    return `c${++this.commands}`;
  }

  private attach(socket: Socket): void {
    this.socket = socket;
    socket.setEncoding("utf8");
    socket.on("error", () => socket.destroy());
    socket.on("data", (text: string) => {
      this.text += text;
      for (let match = READY.exec(this.text); match !== null; match = READY.exec(this.text)) {
        this.boots.push(match[1]!);
        this.text = this.text.slice(match.index + match[0].length);
      }
    });
  }
}
