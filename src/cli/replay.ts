// `ringbridge replay`: sends the frames of a capture file into a running switch. It attaches to a port as a guest's
// front-end does, so that the switch cannot tell it from one: what it learns, forwards, drops and counts is the same.

import { createReadStream } from "node:fs";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { ControlClient } from "../api/control-client.js";
import type { PortStatus } from "../api/status.js";
import { macBytes } from "../capture/address.js";
import { type Filter, parseFilter } from "../capture/filter.js";
import { type Pace, Pacer } from "../capture/pace.js";
import { readPacket } from "../capture/packet.js";
import { CaptureReader, type ReadFrame } from "../capture/read.js";
import { FRAME_MAX, FRAME_MIN, FrameGuest } from "../guest/frame-guest.js";
import { checkFilter } from "./capture.js";
import { type Io, UsageError } from "./io.js";

export interface ReplayFlags {
  port: string;
  to?: string;
  speed?: number;
  rate?: number;
  topspeed?: boolean;
  loop?: number;
  direction: "in" | "out" | "all";
  interface?: string;
  filter?: string;
}

export interface ReplayCommandOptions extends ReplayFlags {
  /** "-" is standard input. */
  file: string;
  control: string;
}

const PROGRESS_MS = 1000;
/** Frames between two looks at the ring. */
const BATCH = 32;
/** So much earlier than a frame is due the waiting is done by looking: timers are no better than that. */
const EARLY_MS = 2;
/** A switch that takes nothing for so long has a reason. */
const STUCK_MS = 5000;
const VACANT_MS = 1000;
const NAMED_MAX = 5;

/** Runs to the end of the file, or until a signal; resolves to the exit code. */
export async function replayCommand(options: ReplayCommandOptions, io: Io): Promise<number> {
  const pace = paceOf(options);
  checkFilter(options.filter);
  if (options.file === "-" && (options.loop ?? 1) > 1) throw new UsageError("standard input can be sent only once");
  const client = new ControlClient(options.control);
  const before = findPort((await client.status()).ports, options.port);
  const destination = options.to === undefined ? undefined : await addressAt(client, options.to);
  const guest = await attach(before);
  let ended = false;
  const end = () => {
    ended = true;
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) io.signals.on(signal, end);
  try {
    const replay = new Replay(guest, options, destination, io, () => ended);
    await replay.run(new Pacer(pace, performance.now()));
    await replay.settle();
    // Read while the port is ours: counters of queues stay until then.
    const after = findPort((await client.status()).ports, options.port, true);
    io.stderr.write(replay.report(before, after));
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) io.signals.off(signal, end);
    if (guest.lost) {
      guest.release();
    } else {
      await guest.detach();
      await vacant(client, options.port);
    }
  }
  return 0;
}

class Replay {
  private readonly filter: Filter;
  private readonly skipped = { cut: 0, otherWay: 0, otherInterface: 0, filtered: 0, length: 0 };
  private readonly started = performance.now();
  private shown = 0;
  private bytes = 0;

  constructor(
    private readonly guest: FrameGuest,
    private readonly options: ReplayCommandOptions,
    private readonly destination: Uint8Array | undefined,
    private readonly io: Io,
    private readonly ended: () => boolean,
  ) {
    this.filter = parseFilter(options.filter ?? "");
  }

  /** All frames of the file, as often as was asked for. */
  async run(pacer: Pacer): Promise<void> {
    const { loop = 1 } = this.options;
    for (let round = 0; round < loop && !this.ended(); round++) {
      if (round > 0) pacer.again(performance.now());
      await this.file(pacer, round === 0);
    }
  }

  /** Waits until the switch has taken all that was sent. */
  async settle(): Promise<void> {
    await this.until(() => this.guest.pending === 0);
  }

  report(before: PortStatus, after: PortStatus): string {
    const { guest, skipped } = this;
    const seconds = (performance.now() - this.started) / 1000;
    const drops = Object.entries(after.drops).flatMap(([cause, count]) => {
      const more = count - (before.drops[cause] ?? 0);
      return more > 0 ? [`${more} ${cause}`] : [];
    });
    const left = Object.entries({
      "cut by their capture": skipped.cut,
      "of the other direction": skipped.otherWay,
      "of other interfaces": skipped.otherInterface,
      "that the filter does not match": skipped.filtered,
      [`not of ${FRAME_MIN} to ${FRAME_MAX} bytes`]: skipped.length,
    }).filter(([, count]) => count > 0);
    return [
      `sent ${guest.sent} frames, ${this.bytes} bytes in ${seconds.toFixed(1)} s`,
      `; the switch took ${after.rxFrames - before.rxFrames} from ${after.name}`,
      drops.length > 0 ? `, dropped ${drops.join(", ")}\n` : ", dropped none\n",
      ...left.map(([what, count]) => `skipped ${count} ${what}\n`),
    ].join("");
  }

  private async file(pacer: Pacer, first: boolean): Promise<void> {
    const { file } = this.options;
    const stream = file === "-" ? process.stdin : createReadStream(file);
    const frames: ReadFrame[] = [];
    let number = 0;
    const reader = new CaptureReader((frame) => frames.push(frame));
    try {
      for await (const piece of stream) {
        reader.push(piece as Buffer);
        for (const frame of frames.splice(0)) {
          if (this.ended()) return;
          number++;
          if (this.wanted(frame, number, first, reader)) await this.send(frame, pacer);
        }
      }
      reader.end();
    } catch (error) {
      throw new Error(`${file === "-" ? "standard input" : file}: ${(error as Error).message}`);
    }
  }

  private wanted(frame: ReadFrame, number: number, first: boolean, reader: CaptureReader): boolean {
    const { skipped, options } = this;
    const name = reader.interfaces[frame.interface]?.name;
    const { direction = options.direction } = frame;
    if (options.interface !== undefined && name !== options.interface) skipped.otherInterface++;
    else if (options.direction !== "all" && direction !== options.direction) skipped.otherWay++;
    else if (!this.filter(readPacket(frame))) skipped.filtered++;
    else if (frame.bytes.length < frame.length) {
      if (first && skipped.cut < NAMED_MAX) {
        this.io.stderr.write(`frame ${number} is cut to ${frame.bytes.length} of ${frame.length} bytes: skipped\n`);
      }
      skipped.cut++;
    } else if (frame.bytes.length < FRAME_MIN || frame.bytes.length > FRAME_MAX) skipped.length++;
    else return true;
    return false;
  }

  private async send({ bytes, time }: ReadFrame, pacer: Pacer): Promise<void> {
    const due = pacer.due(time);
    for (let wait = due - performance.now(); wait > 0 && !this.ended(); wait = due - performance.now()) {
      this.guest.turn();
      await (wait > EARLY_MS ? sleep(Math.min(wait - EARLY_MS / 2, PROGRESS_MS)) : nextTurn());
      this.progress();
    }
    if (this.ended()) return;
    if (this.destination) bytes.set(this.destination);
    if (!this.guest.send(bytes)) {
      await this.until(() => this.guest.send(bytes));
      if (this.ended()) return;
    }
    this.bytes += bytes.length;
    if (this.guest.sent % BATCH === 0) this.guest.turn();
    this.progress();
  }

  /** Turns until something is so, or the user has enough. */
  private async until(condition: () => boolean): Promise<void> {
    const { guest } = this;
    let [pending, since] = [guest.pending, performance.now()];
    for (;;) {
      guest.turn();
      if (condition()) return;
      if (guest.lost) throw guest.lost;
      if (guest.pending !== pending) [pending, since] = [guest.pending, performance.now()];
      if (performance.now() - since > STUCK_MS) {
        throw new Error(`the switch has not taken a frame for ${STUCK_MS / 1000} s: ringbridge status may say why`);
      }
      if (this.ended()) return;
      await nextTurn();
    }
  }

  private progress(): void {
    const now = performance.now();
    if (!this.io.stderr.isTTY || now - this.shown < PROGRESS_MS) return;
    this.shown = now;
    const rate = Math.round((this.guest.sent * 1000) / (now - this.started));
    this.io.stderr.write(`\r${this.guest.sent} frames sent, ${rate} a second \x1b[K\r`);
  }
}

function paceOf({ speed, rate, topspeed }: ReplayFlags): Pace {
  if ([speed !== undefined, rate !== undefined, topspeed === true].filter(Boolean).length > 1) {
    throw new UsageError("--speed, --rate and --topspeed exclude each other");
  }
  if (topspeed) return { kind: "topspeed" };
  return rate === undefined ? { kind: "recorded", speed: speed ?? 1 } : { kind: "rate", perSecond: rate };
}

function findPort(ports: readonly PortStatus[], name: string, ours = false): PortStatus {
  const port = ports.find((each) => each.name === name);
  if (!port) {
    throw new Error(`there is no port "${name}": the ports are ${ports.map((each) => each.name).join(", ") || "none"}`);
  }
  if (ours || port.state === "waiting") return port;
  const who = port.peerPid === undefined ? "" : ` (pid ${port.peerPid})`;
  throw new Error(
    `port ${name} has a guest${who}, and a port takes one at a time: give a port that is free; ` +
      "--to sends what comes from there to another port's guest",
  );
}

/** Waits, for a while, until the switch has seen that we are gone: then the port is there for the next one. */
async function vacant(client: ControlClient, name: string): Promise<void> {
  for (const end = performance.now() + VACANT_MS; performance.now() < end; await sleep(2)) {
    if (findPort((await client.status()).ports, name, true).state === "waiting") return;
  }
}

/** The address that the switch has seen last at a port. */
async function addressAt(client: ControlClient, port: string): Promise<Uint8Array> {
  findPort((await client.status()).ports, port, true);
  const [entry] = (await client.fdb()).filter((each) => each.port === port).sort((a, b) => a.ageSeconds - b.ageSeconds);
  if (!entry) throw new Error(`the switch knows no address at port ${port}: its guest has to send something first`);
  return macBytes(entry.mac)!;
}

function attach(port: PortStatus): Promise<FrameGuest> {
  if (port.role === "inherit") {
    throw new Error(`port ${port.name} is on a socket that the switch was started with: nobody else can attach to it`);
  }
  return FrameGuest.attach({ path: port.path, role: port.role === "connect" ? "listen" : "connect" });
}
