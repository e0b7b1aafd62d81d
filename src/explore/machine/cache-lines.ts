// Which cache lines of guests' memory the steps have touched, and how often a line had to go from one processor to another: the
// worker's and each guest's are taken for processors of their own, with caches that hold everything.

import type { Actor, Step } from "./log.js";
import type { Places } from "./places.js";
import type { World } from "./world.js";

/** Bytes of a line. */
export const CACHE_LINE = 64;

/** One line, and what happened to it. */
export interface LineCount {
  /** Offset in linear memory of its first byte. */
  address: number;
  guest: number;
  /** Whether it belongs to the rings, or to buffers and indirect tables. */
  of: "ring" | "buffer";
  /** The fields that it begins with: "a.transmitq.avail". */
  name: string;
  /** Accesses, by who made them: "device", "a", … */
  touches: Record<string, number>;
  /** Times that it went to another processor: to be read there, or to be written there while others had it. */
  transfers: number;
}

export interface CacheLines {
  lines: LineCount[];
  /** Sums over the lines. */
  ring: { lines: number; transfers: number };
  buffer: { lines: number; transfers: number };
}

export function countLines(
  steps: readonly Step[],
  { guests }: World,
  places: Places,
  nameOf: (actor: Actor) => string,
): CacheLines {
  const lines = new Map<number, LineCount & { holders: Set<Actor> }>();
  const touch = (actor: Actor, at: number, writes: boolean) => {
    const address = at - (at % CACHE_LINE);
    let line = lines.get(address);
    if (!line) {
      const guest = guests.find(({ window, layout }) => address >= window && address < window + layout.bytes);
      if (!guest) return;
      const { kind, name } = places.at(address);
      const of = kind === "ring" ? "ring" : "buffer";
      line = { address, guest: guest.number, of, name, touches: {}, transfers: 0, holders: new Set() };
      lines.set(address, line);
    }
    const { touches, holders } = line;
    touches[nameOf(actor)] = (touches[nameOf(actor)] ?? 0) + 1;
    // What nobody has comes from memory. What I have alone, or have and only read, costs nothing.
    const mine = holders.has(actor);
    if (holders.size > (mine ? 1 : 0) && (writes || !mine)) line.transfers++;
    if (writes) holders.clear();
    holders.add(actor);
  };
  const range = (actor: Actor, at: number, length: number, writes: boolean) => {
    for (let line = at - (at % CACHE_LINE); line < at + length; line += CACHE_LINE) touch(actor, line, writes);
  };
  for (const { actor, what, kind, address, length, from } of steps) {
    // A store that is held is made when it becomes visible.
    if (what !== "access" && what !== "visible") continue;
    if (kind === "copy" && from !== undefined) range(actor, from, length, false);
    range(actor, address, length, kind !== "read");
  }
  const all = [...lines.values()].map(({ holders, ...line }) => line).sort((a, b) => a.address - b.address);
  const sum = (of: LineCount["of"]) => {
    const some = all.filter((line) => line.of === of);
    return { lines: some.length, transfers: some.reduce((total, { transfers }) => total + transfers, 0) };
  };
  return { lines: all, ring: sum("ring"), buffer: sum("buffer") };
}
