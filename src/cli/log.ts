// The log of a running switch: pino on one stream, as JSON for machines or as one readable line per event.

import { type Logger, pino } from "pino";
import type { Output } from "./io.js";

export interface LogOptions {
  level: string;
  /** True: pino's own JSON lines. */
  json: boolean;
  /** True: an error's stack is printed below its line. */
  debug: boolean;
  output: Output;
}

/** A logger that writes within the call: nothing is lost when the process ends, and no thread is needed. */
export function createLogger(options: LogOptions): Logger {
  const { output, debug } = options;
  const stream = options.json ? output : { write: (line: string) => output.write(readableLine(line, debug)) };
  return pino({ level: options.level }, stream as { write(line: string): void });
}

/** Keys that have a place of their own in a line, or none. */
const PLACED = new Set(["level", "time", "pid", "hostname", "msg", "port", "err"]);

/** One JSON line of pino as `17:20:01.123 info  vm1: text key=value`. What is no JSON is passed on. */
export function readableLine(line: string, debug = false): string {
  let event: Record<string, unknown>;
  try {
    event = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const level = pino.levels.labels[Number(event.level)] ?? String(event.level);
  const port = event.port === undefined ? "" : `${event.port}: `;
  const error = event.err as { message?: string; stack?: string } | undefined;
  // pino takes an error's message as the text when the caller gave none.
  const reason = error?.message && error.message !== event.msg ? `: ${error.message}` : "";
  const extra = Object.entries(event)
    .filter(([key]) => !PLACED.has(key))
    .map(([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("");
  const text = `${port}${event.msg ?? ""}${reason}${extra}`.replace(/\s*\n\s*/g, "; ");
  const stack = debug && error?.stack ? `${error.stack}\n` : "";
  return `${clock(Number(event.time))} ${level.padEnd(5)} ${text}\n${stack}`;
}

function clock(time: number): string {
  const date = new Date(time);
  const two = (value: number) => String(value).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}
