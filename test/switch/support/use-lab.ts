// One switch for all tests of a group, each on ports of its own, and an end for every guest that a test makes. Beside
// them two guests on ports of their own send to each other all the time: they may notice nothing.

import { afterAll, afterEach, beforeAll } from "vitest";
import { HandGuest, type HandGuestOptions } from "./hand-guest.js";
import { Lab } from "./lab.js";
import { Pair } from "./traffic.js";

const PORTS = 64;

type Leftover = { release(): void } | { close(): void };

export interface Group {
  readonly lab: Lab;
  /** The two who send all the time. */
  readonly steady: Pair;
  /** Names of listening ports that no test has had yet. */
  ports(count: number): string[];
  /** Ends it after the test. */
  later<T extends Leftover>(it: T): T;
  hand(options?: HandGuestOptions): HandGuest;
}

/** To be called in a `describe`, with flags for the switch and the role of its ports. It must still be alive and well at the end. */
export function useLab(words: string[] = [], role = "listen"): Group {
  const leftovers: Leftover[] = [];
  const free = Array.from({ length: PORTS }, (_, i) => `vm${i}`);
  let lab: Lab;
  let steady: Pair;
  beforeAll(async () => {
    lab = new Lab();
    await lab.start(
      free.map((name) => `${name}=${role}`),
      words,
    );
    steady = (await Pair.attach(lab, ports(2) as [string, string], 1)).go();
  });
  afterEach(async () => {
    for (const it of leftovers.splice(0)) "release" in it ? it.release() : it.close();
    await steady.more(30);
  });
  afterAll(async () => {
    try {
      await steady?.settle();
    } finally {
      steady?.release();
      await lab.close();
    }
  });
  const ports = (count: number) => {
    if (count > free.length) throw new Error("all ports of the group's switch are used: raise PORTS");
    return free.splice(0, count);
  };
  const later = <T extends Leftover>(it: T): T => {
    leftovers.push(it);
    return it;
  };
  return {
    get lab() {
      return lab;
    },
    get steady() {
      return steady;
    },
    ports,
    later,
    hand: (options) => later(new HandGuest(options)),
  };
}
