// A machine at a moment, as plain data: what it was made of, and all that was done.

import type { Operation } from "./driver/net.js";
import type { Fault } from "./log.js";
import type { Setup } from "./setup.js";

export type Move =
  /** The worker makes steps: accesses, call eventfds, waking up. */
  | { do: "device"; steps: number }
  | { do: "driver"; guest: number; steps: number }
  | { do: "operation"; guest: number; operation: Operation }
  | { do: "fault"; fault: Fault }
  | { do: "time"; seconds: number };

export interface State {
  setup: Setup;
  moves: Move[];
  /**
   * First eight digits of the hash of the release build whose traced build made these moves. Moves count accesses: with another
   * build they may lead to another moment, or not be possible.
   */
  core?: string;
}
