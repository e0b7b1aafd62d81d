// `ringbridge demo`: shows the switch at work without a virtual machine. Two simulated guests send to each other
// through a real switch, over real sockets, and check every byte; at the end every frame must be accounted for.

import { setTimeout as delay } from "node:timers/promises";
import { frameSizes } from "../guest/traffic.js";
import { DemoLab, type LabSample } from "./demo-lab.js";
import { type DemoDirection, directions, isClean, uncounted } from "./demo-result.js";
import { dropsByCause, explanation, liveLine, liveTable, summary } from "./demo-view.js";
import type { Io } from "./io.js";

const SECONDS_WITHOUT_TERMINAL = 10;
const REDRAW_MS = 500;
const LINE_MS = 1000;

/** What the command line says; absent ones were not written. */
export interface DemoFlags {
  /** True: an address was not given. */
  web?: string | true;
  seconds?: number;
  size?: number | "imix";
  workers?: number;
  json?: boolean;
}

/**
 * Runs the demo: until Ctrl-C on a terminal, else for `seconds` (10 when not given).
 * @returns exit code 0; 1 when a frame was lost without being counted, changed, doubled or reordered
 */
export async function runDemo(options: DemoFlags, io: Io): Promise<number> {
  const interrupt = untilInterrupt(io);
  const size = options.size ?? "imix";
  const terminal = io.stdout.isTTY === true && options.json !== true;
  const seconds = options.seconds ?? (terminal ? Number.POSITIVE_INFINITY : SECONDS_WITHOUT_TERMINAL);
  const say = (text: string) => {
    if (options.json !== true) io.stdout.write(text);
  };
  let lab: DemoLab | undefined;
  try {
    say("Starting a switch and two guests, each a process of its own ...\n");
    lab = await DemoLab.start({ sizes: frameSizes(size), workers: options.workers, web: webAddress(options.web) });
    const [first, second] = lab.guestPids;
    say(`switch: process ${lab.switchPid}; vm1: process ${first}; vm2: process ${second}\n`);
    if (lab.webUrl !== undefined) say(`Live page: ${lab.webUrl}\n`);
    const traffic = size === "imix" ? "IMIX frames (64, 570 and 1518 bytes, 7:4:1)" : `frames of ${size} bytes`;
    say(`Both guests send ${traffic} as fast as the rings allow. Ctrl-C ends.\n\n`);
    const { start, end, final } = await measure(lab, seconds, terminal, interrupt.promise, say);
    // Totals are those after the last frame arrived, rates those while frames were sent.
    const rates = directions(lab.names, start, end);
    const result = directions(lab.names, end, final).map((total, i) => ({
      ...total,
      sentPerSecond: rates[i]!.sentPerSecond,
      receivedPerSecond: rates[i]!.receivedPerSecond,
      bitsPerSecond: rates[i]!.bitsPerSecond,
      latencyUs: rates[i]!.latencyUs,
    }));
    const took = (end.guests[0]!.atMs - start.guests[0]!.atMs) / 1000;
    if (options.json) io.stdout.write(`${JSON.stringify(asJson(took, size, final, result))}\n`);
    else io.stdout.write(`\n${summary(took, traffic, result)}\n`);
    return isClean(result) ? 0 : 1;
  } finally {
    await lab?.close();
    interrupt.forget();
  }
}

/** The flag alone: any free port of this machine. */
function webAddress(flag: DemoFlags["web"]): string | undefined {
  return flag === true ? "127.0.0.1:0" : flag;
}

/** Traffic for a while, shown as it goes. Samples from before it, from its end, and after the last frame arrived. */
async function measure(
  lab: DemoLab,
  seconds: number,
  terminal: boolean,
  interrupted: Promise<void>,
  say: (text: string) => void,
): Promise<{ start: LabSample; end: LabSample; final: LabSample }> {
  const start = await lab.sample();
  let before = start;
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  let over = false;
  void interrupted.then(() => {
    over = true;
  });
  lab.run();
  let drawn = 0;
  while (!over && performance.now() < endsAt) {
    const step = Math.min(terminal ? REDRAW_MS : LINE_MS, endsAt - performance.now());
    await Promise.race([delay(step), interrupted, lab.failed]);
    const now = await lab.sample();
    const list = directions(lab.names, before, now);
    before = now;
    // What is left of an interval that was cut short says little.
    if (over) break;
    if (terminal) {
      const text = `${liveTable(list)}\n\n${explanation()}\n`;
      // Back to the top of the last picture, and clear from there.
      say(`${drawn > 0 ? `\x1b[${drawn}A\x1b[J` : ""}${text}`);
      drawn = text.split("\n").length - 1;
    } else {
      say(`${liveLine(Math.round((performance.now() - startedAt) / 1000), list)}\n`);
    }
  }
  const end = before;
  await lab.drain();
  return { start, end, final: await lab.sample() };
}

function asJson(seconds: number, size: number | "imix", final: LabSample, list: readonly DemoDirection[]): unknown {
  return {
    ok: isClean(list),
    seconds,
    size,
    workers: final.status.workers.length,
    version: final.status.version,
    wasmHash: final.status.wasmHash,
    sent: list.reduce((sum, each) => sum + each.sent, 0),
    received: list.reduce((sum, each) => sum + each.received, 0),
    drops: dropsByCause(list),
    directions: list.map((each) => ({ ...each, uncounted: uncounted(each) })),
  };
}

/** The first Ctrl-C or SIGTERM ends the demo with its summary, the second at once (its children follow it). */
function untilInterrupt(io: Io): { promise: Promise<void>; forget(): void } {
  let onSignal: () => void = () => {};
  const promise = new Promise<void>((resolve) => {
    let signalled = false;
    onSignal = () => {
      if (signalled) io.exit(1);
      signalled = true;
      resolve();
    };
  });
  io.signals.on("SIGINT", onSignal);
  io.signals.on("SIGTERM", onSignal);
  return {
    promise,
    forget: () => {
      io.signals.off("SIGINT", onSignal);
      io.signals.off("SIGTERM", onSignal);
    },
  };
}
