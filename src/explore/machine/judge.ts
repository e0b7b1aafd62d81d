// Goals of exercises: what must be so in a reader's own machine, as plain data, and whether it is.

import { type Breakpoint, breakpointText } from "./breakpoints.js";
import type { Machine } from "./machine.js";
import { GUEST_NAMES } from "./setup.js";

export type Goal =
  /** A guest's driver has taken so many frames, no more and no less. */
  | { goal: "received"; guest: number; frames: number }
  /** Something has happened, at least `times` (default 1), from step `since` on (default 1); or it never has. */
  | { goal: "happened"; on: Breakpoint; times?: number; since?: number }
  | { goal: "never"; on: Breakpoint; since?: number }
  /** A field has this value now. */
  | { goal: "field"; place: string; value: number }
  /** The switch sleeps, and no kick is under way. */
  | { goal: "asleep" }
  /** A frame lies in a transmitq and nobody will come for it: the worker sleeps, and has not been kicked. */
  | { goal: "stuck"; guest: number };

export interface Verdict {
  met: boolean;
  /** What was asked, and how it stands: "b has received 1 of 2 frames". */
  text: string;
}

/** Whether a goal is met at this moment. Throws when it names a place that there is not. */
export function judge(goal: Goal, machine: Machine): Verdict {
  if (goal.goal === "received") {
    const { received } = machine.view().guests[goal.guest]!;
    const text = `${GUEST_NAMES[goal.guest]} has received ${received.length} of ${goal.frames} frames`;
    return { met: received.length === goal.frames, text };
  }
  if (goal.goal === "happened") {
    const { times = 1 } = goal;
    const count = machine.occurrences(goal.on, goal.since);
    return { met: count >= times, text: `${breakpointText(goal.on)}: ${count} of ${times}` };
  }
  if (goal.goal === "never") {
    const count = machine.occurrences(goal.on, goal.since);
    return {
      met: count === 0,
      text: count === 0 ? `not yet: ${breakpointText(goal.on)}` : `too late: ${breakpointText(goal.on)}`,
    };
  }
  if (goal.goal === "field") {
    const field = machine.field(goal.place);
    if (!field) throw new Error(`a goal names ${goal.place}: there is no such place`);
    return { met: field.value === goal.value, text: `${goal.place} is ${field.text}` };
  }
  const { device, guests } = machine.view();
  const asleep = device.phase === "asleep" && !device.canMove;
  if (goal.goal === "asleep") return { met: asleep, text: asleep ? "the switch sleeps" : "the switch is awake" };
  const { transmitq } = guests[goal.guest]!;
  const waits = transmitq.split
    ? transmitq.split.avail.idx.value !== transmitq.device.nextAvail.value
    : transmitq.packed!.descriptors.some(({ state }) => state === "available");
  const met = asleep && waits && machine.canMove(goal.guest) === false;
  return { met, text: met ? "a frame waits and nobody will come for it" : "no frame is forgotten" };
}

/** Whether all goals are met, with each one's verdict. */
export function judgeAll(goals: readonly Goal[], machine: Machine): { met: boolean; verdicts: Verdict[] } {
  const verdicts = goals.map((goal) => judge(goal, machine));
  return { met: verdicts.every(({ met }) => met), verdicts };
}
