// `ringbridge capture`: the frames of a running switch's ports, as a pcapng file or a line for each.

import { createWriteStream } from "node:fs";
import type { Writable } from "node:stream";
import { ControlClient, type RunningCapture } from "../api/control-client.js";
import { FilterError, parseFilter } from "../capture/filter.js";
import { readPacket } from "../capture/packet.js";
import { CaptureReader, type ReadFrame, type ReadInterface } from "../capture/read.js";
import { summary } from "../capture/summary.js";
import { type Io, UsageError } from "./io.js";

export interface CaptureFlags {
  /** A file, or "-" for standard output. */
  write?: string;
  snaplen?: number;
  count?: number;
  seconds?: number;
  filter?: string;
}

export interface CaptureCommandOptions extends CaptureFlags {
  ports: readonly string[];
  control: string;
}

/** What is left to come after Ctrl-C comes within this time, or not at all. */
const END_MS = 3000;
const NAME_WIDTH = 8;

/** Runs until a signal, the count, the time, or until nobody reads; resolves to the exit code. */
export async function captureCommand(options: CaptureCommandOptions, io: Io): Promise<number> {
  const { ports, control, write, snaplen, count, seconds, filter } = options;
  checkFilter(filter);
  const capture = await new ControlClient(control).capture({ ports, snapLength: snaplen, count, filter });
  const ending = new Ending(capture, io, seconds);
  let frames = 0;
  const reader = new CaptureReader((frame) => {
    frames++;
    sink?.frame?.(frame, reader.interfaces[frame.interface]?.name ?? "?");
  });
  let sink: Sink | undefined;
  try {
    sink = write === undefined ? new Lines(io) : await openFile(write, io);
    if (write !== undefined) io.stderr.write(`capturing ${ports.join(", ")}; end with Ctrl-C\n`);
    for await (const piece of ending.until(capture.pieces)) {
      reader.push(piece);
      await sink.piece?.(piece);
      if (sink.gone) break;
    }
    await sink.close?.();
  } finally {
    ending.forget();
    sink?.forget?.();
    capture.abandon();
  }
  io.stderr.write(`${report(frames, reader.interfaces)}\n`);
  return 0;
}

/** Throws when the expression is none, before anything is asked of a switch. */
export function checkFilter(filter: string | undefined): void {
  try {
    if (filter !== undefined) parseFilter(filter);
  } catch (error) {
    throw error instanceof FilterError ? new UsageError(error.message) : error;
  }
}

/** Where frames go: either whole pieces of the file, or one frame after the other. */
interface Sink {
  frame?(frame: ReadFrame, port: string): void;
  piece?(piece: Uint8Array): Promise<void>;
  close?(): Promise<void>;
  /** Takes its listeners back. */
  forget?(): void;
  /** Nobody reads any more. */
  readonly gone: boolean;
}

class Lines implements Sink {
  gone = false;
  private readonly onError = () => {
    this.gone = true;
  };

  constructor(private readonly io: Io) {
    io.stdout.on?.("error", this.onError);
  }

  forget(): void {
    this.io.stdout.off?.("error", this.onError);
  }

  frame(frame: ReadFrame, port: string): void {
    const direction = (frame.direction ?? "?").padEnd(3);
    this.io.stdout.write(
      `${clock(frame.time)} ${port.padEnd(NAME_WIDTH)} ${direction} ${summary(readPacket(frame))}\n`,
    );
  }
}

class FileSink implements Sink {
  gone = false;
  private fault: Error | undefined;

  constructor(
    private readonly stream: Writable,
    private readonly name: string,
  ) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      // `ringbridge capture -w - | head` has read enough.
      if (error.code !== "EPIPE") this.fault = error;
      this.gone = true;
    });
  }

  /** Waits while whoever reads the file is slow: then the switch waits as well, and counts what it misses. */
  async piece(piece: Uint8Array): Promise<void> {
    if (this.gone || this.stream.write(piece)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        for (const event of ["drain", "error", "close"] as const) this.stream.off(event, done);
        resolve();
      };
      for (const event of ["drain", "error", "close"] as const) this.stream.on(event, done);
    });
  }

  async close(): Promise<void> {
    if (!this.gone) await new Promise<void>((resolve) => void this.stream.end(() => resolve()));
    if (this.fault) throw new Error(`cannot write ${this.name}: ${this.fault.message}`);
  }
}

async function openFile(path: string, io: Io): Promise<Sink> {
  if (path !== "-") {
    const stream = createWriteStream(path);
    await new Promise<void>((resolve, reject) => {
      stream.once("open", () => resolve());
      stream.once("error", (error) => reject(new Error(`cannot write ${path}: ${error.message}`)));
    });
    return new FileSink(stream, path);
  }
  if (io.stdout.isTTY) throw new UsageError("a capture is no text: give -w a file, or send it to another program");
  return new FileSink(io.stdout as Writable, "standard output");
}

/** Brings a capture to its end when a signal comes or the time is over; a second signal leaves at once. */
class Ending {
  private readonly timer: NodeJS.Timeout | undefined;
  private late: NodeJS.Timeout | undefined;
  private leave: () => void = () => {};
  private readonly left: Promise<"left">;
  private ending = false;
  private readonly onSignal = () => (this.ending ? this.leave() : this.end());

  constructor(
    private readonly capture: RunningCapture,
    private readonly io: Io,
    seconds: number | undefined,
  ) {
    this.left = new Promise((resolve) => {
      this.leave = () => resolve("left");
    });
    if (seconds !== undefined) this.timer = setTimeout(() => this.end(), seconds * 1000);
    for (const signal of ["SIGINT", "SIGTERM"] as const) io.signals.on(signal, this.onSignal);
  }

  /** The pieces, until they end or there is no more waiting for them. */
  async *until(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const iterator = pieces[Symbol.asyncIterator]();
    for (;;) {
      const next = iterator.next();
      const found = await Promise.race([next, this.left]);
      if (found === "left") {
        next.catch(() => {});
        void iterator.return?.();
        return;
      }
      if (found.done) return;
      yield found.value;
    }
  }

  forget(): void {
    clearTimeout(this.timer);
    clearTimeout(this.late);
    for (const signal of ["SIGINT", "SIGTERM"] as const) this.io.signals.off(signal, this.onSignal);
  }

  private end(): void {
    this.ending = true;
    this.late = setTimeout(() => this.leave(), END_MS);
    // A switch that has gone says so in the stream.
    this.capture.stop().catch(() => {});
  }
}

/** "12 frames captured; vm1: 10 passed, 0 missed; vm2: …": the counts are the switch's, of what it had to show. */
function report(count: number, interfaces: readonly ReadInterface[]): string {
  const ports = interfaces.map(({ name, received, dropped }) => {
    return received === undefined ? `${name}: no counts came` : `${name}: ${received} passed, ${dropped} missed`;
  });
  return [`${count} ${count === 1 ? "frame" : "frames"} captured`, ...ports].join("; ");
}

/** Local time of day with nanoseconds. */
function clock(time: bigint): string {
  const date = new Date(Number(time / 1_000_000n));
  const two = (value: number) => String(value).padStart(2, "0");
  const nanoseconds = String(time % 1_000_000_000n).padStart(9, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${nanoseconds}`;
}
