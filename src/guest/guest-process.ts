// A process that is one simulated guest: started with child_process.fork, told what to do over IPC (guest-messages.ts).
// It ends when told, and when its parent has gone.

import { availableParallelism } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type GuestCommand, type GuestReport, REPORT_MS, type TrafficOptions } from "./guest-messages.js";
import { LoadGuest } from "./load-guest.js";

const BURST = 64;
/** How long frames are moved before messages and timers get their turn, and how long one blocking wait may be. */
const SLICE_MS = 5;
/** Empty turns before the guest sleeps: where there are cores for all, waking up costs more than looking again. */
const SPINS = availableParallelism() >= 6 ? 500 : 4;
/** With a window: when so long nothing has moved, what was to come must be lost, and one frame goes beyond it. */
const STUCK_MS = 500;
/** Of a rate, so much is made up for after a delay. */
const CATCH_UP_MS = 20;

let guest: LoadGuest | undefined;
let traffic: TrafficOptions | undefined;
let ending = false;
/** When the rate began to count, and frames sent since. */
let ratedFrom = 0;
let ratedFrames = 0;
let movedAt = 0;

process.on("message", (command: GuestCommand) => {
  obey(command).catch(fail);
});
process.on("disconnect", () => process.exit(0));
// Ctrl-C goes to the whole process group: the parent decides what happens then.
process.on("SIGINT", () => {});

async function obey(command: GuestCommand): Promise<void> {
  switch (command.kind) {
    case "attach": {
      const { features, ...rest } = command.options;
      const attached = await LoadGuest.attach({
        ...rest,
        features: features === undefined ? undefined : BigInt(features),
      });
      attached.onLost = fail;
      guest = attached;
      report({ kind: "attached", features: String(attached.features) });
      const timer = setInterval(() => reportCounters(attached), REPORT_MS);
      await run(attached);
      clearInterval(timer);
      await attached.detach();
      reportCounters(attached);
      report({ kind: "ended" });
      process.disconnect();
      break;
    }
    case "run":
      guest?.setTraffic(command.traffic.sizes, command.traffic.payload ?? true);
      traffic = command.traffic;
      ratedFrom = performance.now();
      ratedFrames = 0;
      movedAt = ratedFrom;
      guest?.wake();
      break;
    case "pause":
      traffic = undefined;
      break;
    case "report":
      if (guest) reportCounters(guest);
      break;
    case "end":
      ending = true;
      guest?.wake();
      break;
  }
}

/** Moves frames until the end. */
async function run(attached: LoadGuest): Promise<void> {
  while (!ending) {
    const busy = slice(attached);
    const { fault } = attached;
    if (fault !== undefined) throw new Error(fault);
    if (busy || traffic !== undefined) await nextTurn();
    else await attached.sleep(REPORT_MS);
  }
}

/** A few milliseconds of receiving and sending; true when the last turn still had something to do. */
function slice(attached: LoadGuest): boolean {
  const end = performance.now() + SLICE_MS;
  let idle = 0;
  let time = performance.now();
  do {
    let moved = attached.receive(BURST);
    const wanted = traffic === undefined ? 0 : allowance(attached, traffic, time);
    const sent = wanted > 0 ? attached.send(wanted) : 0;
    ratedFrames += sent;
    moved += sent;
    idle = moved > 0 ? 0 : idle + 1;
    time = performance.now();
    if (moved > 0) {
      movedAt = time;
    } else if (traffic === undefined) {
      return false;
    } else if (idle > SPINS) {
      attached.wait(1, wanted > 0);
      time = performance.now();
    }
  } while (time < end);
  return idle === 0;
}

/** How many frames may be sent now, at most a burst. */
function allowance(attached: LoadGuest, { rate, window }: TrafficOptions, time: number): number {
  let frames = BURST;
  if (rate !== undefined) {
    const due = Math.floor(((time - ratedFrom) * rate) / 1000) - ratedFrames;
    const most = Math.max(BURST, Math.ceil((rate * CATCH_UP_MS) / 1000));
    if (due > most) ratedFrames += due - most;
    frames = Math.min(frames, due);
  }
  if (window !== undefined) {
    const room = window - attached.lead;
    frames = Math.min(frames, room > 0 ? room : time - movedAt > STUCK_MS ? 1 : 0);
  }
  return frames;
}

function reportCounters(attached: LoadGuest): void {
  report({
    kind: "counters",
    atMs: performance.now(),
    counters: attached.counters(),
    latencies: attached.latencies(),
    sending: traffic !== undefined,
  });
}

function report(message: GuestReport): void {
  if (process.connected) process.send!(message);
}

function fail(error: Error): void {
  // Exit only when the message is on its way.
  if (!process.connected) process.exit(1);
  process.send!({ kind: "failed", reason: error.message } satisfies GuestReport, () => process.exit(1));
}
