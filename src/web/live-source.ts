// What the live page needs of a running switch: to look, and nothing else.

import type { FdbEntryStatus, SwitchStatus } from "../api/status.js";
import type { RingView } from "../core/ring-view.js";
import type { MessagesSince } from "./live.js";

export interface LiveSource {
  status(): SwitchStatus;
  /** Learned addresses, at most so many. */
  fdb(limit?: number): FdbEntryStatus[];
  /** A ring as it is now, or why there is none to be seen. Undefined: there is no such port. */
  ring(port: string, queue: number): RingView | { absent: string } | undefined;
  readonly messages: { since(number: number): MessagesSince };
}
