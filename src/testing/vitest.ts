// The verdicts as matchers of vitest: `import "ringbridge/testing/vitest"` in a test or a setup file.

import { expect } from "vitest";
import { conservesFrames } from "./conservation.js";
import type { LabGuest } from "./guest.js";
import type { Lab } from "./lab.js";
import { SEED_VARIABLE, setReplayCommand } from "./replay.js";
import {
  droppedFor,
  fairShare,
  latencyAtMost,
  learned,
  receivedExactly,
  receivedInOrder,
  type Verdict,
} from "./verdicts.js";

interface LabMatchers<R> {
  /** Of a lab: every frame is somewhere, or counted. */
  toConserveFrames(): R;
  /** Of a guest: these frames and no others; in this order, others between them allowed. */
  toHaveReceivedExactly(frames: readonly Uint8Array[]): R;
  toHaveReceivedInOrder(frames: readonly Uint8Array[]): R;
  /** Of a lab or a guest: drops under this cause, or exactly so many. */
  toHaveDroppedFor(cause: string, count?: number): R;
  /** Of a lab: an address is known, and behind that guest. */
  toHaveLearned(mac: string, guest: LabGuest): R;
  /** Of a flow: the share `quantile` of its frames took at most that many milliseconds. */
  toHaveLatencyAtMost(quantile: number, milliseconds: number): R;
  /** Of a list of flows: each received an equal share, give or take `tolerance` of it. */
  toShareFairly(tolerance: number): R;
}

declare module "vitest" {
  // biome-ignore lint/suspicious/noExplicitAny: the parameter must be declared as vitest declares it
  interface Matchers<T = any> extends LabMatchers<T> {}
}

/** What vitest wants: the message is asked for when it is needed. */
const result = ({ pass, message }: Verdict) => ({ pass, message: () => message });

expect.extend({
  toConserveFrames: (lab: Lab) => result(conservesFrames(lab)),
  toHaveReceivedExactly: (guest: LabGuest, frames: readonly Uint8Array[]) => result(receivedExactly(guest, frames)),
  toHaveReceivedInOrder: (guest: LabGuest, frames: readonly Uint8Array[]) => result(receivedInOrder(guest, frames)),
  toHaveDroppedFor: (of: Lab | LabGuest, cause: string, count?: number) => result(droppedFor(of, cause, count)),
  toHaveLearned: (lab: Lab, mac: string, guest: LabGuest) => result(learned(lab, mac, guest)),
  toHaveLatencyAtMost: (flow: Parameters<typeof latencyAtMost>[0], quantile: number, milliseconds: number) =>
    result(latencyAtMost(flow, quantile, milliseconds)),
  toShareFairly: (flows: Parameters<typeof fairShare>[0], tolerance: number) => result(fairShare(flows, tolerance)),
});

setReplayCommand((seed) => {
  const { testPath, currentTestName } = expect.getState();
  if (!testPath || !currentTestName) return undefined;
  // vitest joins the names of describe and test with " > "; a pattern with a space finds either.
  const name = currentTestName.replaceAll(" > ", " ").replace(/[.*+?^${}()|[\]\\']/g, ".");
  return `${SEED_VARIABLE}=${seed} npx vitest run ${fromHere(testPath)} -t '${name}'`;
});

/** A path as from the folder that vitest was started in: what CI says has to work on other machines. */
function fromHere(path: string): string {
  const here = (globalThis as { process?: { cwd?(): string } }).process?.cwd?.().replaceAll("\\", "/");
  return here !== undefined && path.startsWith(`${here}/`) ? path.slice(here.length + 1) : path;
}
