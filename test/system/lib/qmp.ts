// QEMU's machine protocol (QMP, docs/interop/qmp-spec.rst): JSON lines over a unix socket. What an operator does to a
// running machine: plug and unplug NICs and memory, stop and continue it, take its link down.
import { connect, type Socket } from "node:net";
import { type Child, waitFor } from "./process.js";

interface Message {
  id?: number;
  return?: unknown;
  error?: { desc: string };
  event?: string;
  data?: Record<string, unknown>;
}

/** A connection to one QEMU's monitor. */
export class Qmp {
  private text = "";
  private commands = 0;
  private readonly answers = new Map<number, Message>();
  private readonly events: Message[] = [];

  private constructor(
    private readonly socket: Socket,
    private readonly qemu: Child,
  ) {
    socket.setEncoding("utf8");
    socket.on("error", () => socket.destroy());
    socket.on("data", (text: string) => this.take(text));
  }

  /** Connects to the monitor that `qemu` listens with at `path`, and leaves its negotiation mode. */
  static async open(qemu: Child, path: string): Promise<Qmp> {
    const socket = await waitFor(`${qemu.name}'s monitor`, 30_000, () => attempt(path), [qemu]);
    const qmp = new Qmp(socket, qemu);
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  /** Runs a command and returns what it returned; throws QEMU's own words when it was refused. */
  async execute(command: string, args: Record<string, unknown> = {}, limitMs = 30_000): Promise<unknown> {
    const id = ++this.commands;
    this.socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    const what = `${this.qemu.name}'s answer to ${command}`;
    const answer = await waitFor(what, limitMs, () => this.answers.get(id), [this.qemu]);
    this.answers.delete(id);
    if (answer.error !== undefined) throw new Error(`${this.qemu.name} refused ${command}: ${answer.error.desc}`);
    return answer.return;
  }

  /** Runs a command of the human monitor, which takes properties as the command line does. Silence is its success. */
  async human(line: string): Promise<void> {
    const said = (await this.execute("human-monitor-command", { "command-line": line })) as string;
    if (said.trim() !== "") throw new Error(`${this.qemu.name} refused \`${line}\`: ${said.trim()}`);
  }

  /** Takes the event `name` whose data has these values, waiting for it when it has not come yet. */
  async event(name: string, data: Record<string, unknown> = {}, limitMs = 60_000): Promise<void> {
    const fits = (message: Message) =>
      message.event === name && Object.entries(data).every(([key, value]) => message.data?.[key] === value);
    await waitFor(
      `${this.qemu.name}'s event ${name}`,
      limitMs,
      () => {
        const index = this.events.findIndex(fits);
        return index >= 0 && this.events.splice(index, 1).length === 1;
      },
      [this.qemu],
    );
  }

  private take(text: string): void {
    const lines = (this.text + text).split("\n");
    this.text = lines.pop()!;
    for (const line of lines) {
      const message = JSON.parse(line) as Message;
      if (message.id !== undefined) this.answers.set(message.id, message);
      else if (message.event !== undefined) this.events.push(message);
    }
  }
}

/** A connected socket, or undefined when nobody listens yet. */
function attempt(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path, () => resolve(socket.removeAllListeners("error")));
    socket.once("error", () => resolve(undefined));
  });
}
