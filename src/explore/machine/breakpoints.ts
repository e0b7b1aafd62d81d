// Places and happenings at which a run stops.

import type { Event, Note } from "./events.js";
import type { Place } from "./places.js";

export type Breakpoint =
  /** A field gets another value: "b.receiveq.used.idx", by its place's name. */
  | { on: "change"; place: string }
  /** A kick, a call, a drop, an address learned, a ring stopped, the worker asleep, …; of one guest, or of any. */
  | { on: Exclude<Note["note"], "returned">; guest?: number }
  /** An access that a line of the sources makes, of the core or of a driver. */
  | { on: "line"; file: string; line: number };

/** Does a step's event hit it? `named` finds places. */
export function hits(breakpoint: Breakpoint, event: Event, named: (name: string) => Place | undefined): boolean {
  if (breakpoint.on === "line") {
    return event.site?.line === breakpoint.line && event.site.file === breakpoint.file;
  }
  if (breakpoint.on === "change") {
    const place = named(breakpoint.place);
    return place !== undefined && changes(event, place);
  }
  return event.notes.some((note) => {
    if (note.note !== breakpoint.on) return false;
    return breakpoint.guest === undefined || !("guest" in note) || note.guest === breakpoint.guest;
  });
}

function changes({ address, before, after }: Event, place: Place): boolean {
  if (!before || !after) return false;
  const start = Math.max(place.address, address);
  const end = Math.min(place.address + place.length, address + after.length);
  for (let at = start; at < end; at++) if (before[at - address] !== after[at - address]) return true;
  return false;
}
