// A machine at a moment, as plain data: what it was made of, and all that was done.

import type { Operation } from "./driver/net.js";
import type { Fault } from "./log.js";
import type { Setup } from "./setup.js";

export type Move =
  /** The worker makes steps: accesses, call eventfds, waking up. */
  | { do: "device"; steps: number }
  | { do: "driver"; guest: number; steps: number }
  | { do: "operation"; guest: number; operation: Operation }
  | { do: "fault"; fault: Fault };

export interface State {
  setup: Setup;
  moves: Move[];
}
