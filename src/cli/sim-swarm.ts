// `ringbridge sim --runs`: many seeds of a scenario, and what is left of the first that fails.

import { writeFileSync } from "node:fs";
import type { Check } from "../sim/expectations.js";
import type { LoadedScenario } from "../sim/load.js";
import { shrink } from "../sim/shrink.js";
import { swarm, type SwarmOptions } from "../sim/swarm.js";
import { scenarioText } from "../sim/write.js";
import type { Io } from "./io.js";
import { formatCount } from "./table.js";

const TELL_MS = 1000;

/**
 * Plays seeds from `seed` on, or from the file's. Exit code 1 when one fails: the smallest scenario that still does is
 * written to the current folder, and the command that plays it is printed.
 */
export async function swarmCommand(
  loaded: LoadedScenario,
  name: string,
  { seed, ...options }: Omit<SwarmOptions, "first"> & { seed?: number },
  io: Io,
): Promise<number> {
  const first = seed ?? loaded.scenario.seed ?? 1;
  const progress = new Progress(io);
  let stopped = false;
  const onSignal = () => {
    stopped = true;
  };
  io.signals.on("SIGINT", onSignal);
  try {
    const before = (passed: number) => {
      progress.show(() => `${passed} passed, ${options.runs - passed} left, ${progress.rate(passed)} runs/s`);
      return stopped;
    };
    const { passed, frames, failure } = await swarm(loaded, { ...options, first, before });
    const rate = `${formatCount(frames)} frames, ${progress.rate(passed)} runs/s`;
    progress.end();
    if (!failure) {
      io.stdout.write(`${passed} of ${options.runs} seeds passed from seed ${first} on: ${rate}\n`);
      return passed === options.runs ? 0 : 1;
    }
    io.stdout.write(`seed ${failure.seed} fails after ${passed} that passed (${rate})\n${checkText(failure.check)}\n`);
    const shrunk = await shrink(loaded, failure, {
      ...options,
      after: (runs) => {
        progress.show(() => `cutting it down: ${runs} runs`);
        return stopped;
      },
    });
    progress.end();
    if (!shrunk) {
      io.stdout.write(
        "written out, each guest, flow and fault by itself, the scenario does not fail like this, and so is left as it is\n" +
          `again: ringbridge sim ${name}.yaml --seed ${failure.seed}\n`,
      );
      return 1;
    }
    const { scenario, check, runs, left } = shrunk;
    const file = `${name}-seed-${failure.seed}.yaml`;
    writeFileSync(file, scenarioText(scenario));
    const sizes = [`${left.guests} guests`, `${left.flows} flows`, `${left.faults} faults`];
    if (left.variants > 0) sizes.push(`${left.variants} variants`);
    io.stdout.write(
      `cut down in ${runs} runs to ${sizes.join(", ")}:\n${checkText(check)}\nagain: ringbridge sim ${file}\n`,
    );
    return 1;
  } finally {
    progress.end();
    io.signals.off("SIGINT", onSignal);
  }
}

function checkText({ what, variant, expected, came }: Check): string {
  return `  ${what}${variant === undefined ? "" : ` (${variant})`}: expected ${expected}, came ${came}`;
}

/** One line on standard error: drawn anew on a terminal, else every ten seconds. */
class Progress {
  private readonly started = performance.now();
  private told = this.started;
  private drawn = false;

  constructor(private readonly io: Io) {}

  /** Runs in a second so far. */
  rate(runs: number): string {
    return ((runs * 1000) / Math.max(1, performance.now() - this.started)).toFixed(1);
  }

  show(text: () => string): void {
    const terminal = this.io.stderr.isTTY === true;
    if (performance.now() - this.told < (terminal ? TELL_MS / 5 : TELL_MS * 10)) return;
    this.told = performance.now();
    this.io.stderr.write(terminal ? `\r\x1b[K${text()}` : `${text()}\n`);
    this.drawn = terminal;
  }

  end(): void {
    if (this.drawn) this.io.stderr.write("\r\x1b[K");
    this.drawn = false;
  }
}
