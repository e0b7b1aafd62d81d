// One switch for all tests of a group, each on ports of its own, and an end for every guest that a test makes.

import { afterAll, afterEach, beforeAll } from "vitest";
import { HandGuest, type HandGuestOptions } from "./hand-guest.js";
import { Lab } from "./lab.js";

const PORTS = 64;

type Leftover = { release(): void } | { close(): void };

export interface Group {
  readonly lab: Lab;
  /** Names of listening ports that no test has had yet. */
  ports(count: number): string[];
  /** Ends it after the test. */
  later<T extends Leftover>(it: T): T;
  hand(options?: HandGuestOptions): HandGuest;
}

/** To be called in a `describe`, with flags for the switch. It must still be alive and well at the end. */
export function useLab(words: string[] = []): Group {
  const leftovers: Leftover[] = [];
  const free = Array.from({ length: PORTS }, (_, i) => `vm${i}`);
  let lab: Lab;
  beforeAll(async () => {
    lab = new Lab();
    await lab.start(
      free.map((name) => `${name}=listen`),
      words,
    );
  });
  afterEach(() => {
    for (const it of leftovers.splice(0)) "release" in it ? it.release() : it.close();
  });
  afterAll(() => lab.close());
  const later = <T extends Leftover>(it: T): T => {
    leftovers.push(it);
    return it;
  };
  return {
    get lab() {
      return lab;
    },
    ports(count) {
      if (count > free.length) throw new Error("all ports of the group's switch are used: raise PORTS");
      return free.splice(0, count);
    },
    later,
    hand: (options) => later(new HandGuest(options)),
  };
}
