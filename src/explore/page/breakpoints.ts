// Where playing stops by itself.

import type { Event } from "../machine/index.js";

export type Breakpoint = "avail" | "used" | "kick" | "call" | "drop" | "learn" | "stopped" | "sleep";

export const BREAKPOINTS: Readonly<Record<Breakpoint, string>> = {
  avail: "avail.idx changes, or a packed descriptor becomes available",
  used: "used.idx changes, or a packed descriptor becomes used",
  kick: "a kick",
  call: "a call",
  drop: "a frame is dropped",
  learn: "an address is learned",
  stopped: "a queue is stopped",
  sleep: "the switch falls asleep",
};

/** What the first event that one of the breakpoints waits for has to say; undefined when there is none. */
export function stopsAt(wanted: ReadonlySet<Breakpoint>, events: readonly Event[]): string | undefined {
  for (const event of events) {
    for (const breakpoint of wanted) if (is(breakpoint, event)) return `Stopped at step ${event.number}: ${event.text}`;
  }
  return undefined;
}

function is(breakpoint: Breakpoint, event: Event): boolean {
  const { what, notes, actor } = event;
  const noted = (...names: string[]) => notes.some(({ note }) => names.includes(note));
  if (breakpoint === "avail") return actor !== "device" && publishes(event, "avail");
  if (breakpoint === "used") return actor === "device" && publishes(event, "used");
  if (breakpoint === "kick") return what === "kick";
  if (breakpoint === "call") return what === "call";
  if (breakpoint === "drop") return noted("drop");
  if (breakpoint === "learn") return noted("learned", "moved");
  if (breakpoint === "stopped") return noted("stopped");
  return noted("asleep");
}

/** Does it write an index of a split ring, or flags of a packed descriptor (whose last word is no `next`)? */
function publishes({ after, places }: Event, part: string): boolean {
  if (after === undefined) return false;
  return places.some((place) => {
    if (place.kind !== "ring") return false;
    if (place.part === part) return place.field === "idx";
    return place.part === "desc" && place.field === "flags" && !places.some(({ field }) => field === "next");
  });
}
