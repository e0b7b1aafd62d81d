// Workers take no lock to read what the host changes under them. What was replaced is freed when a grace period is over:
// every worker has been between two bursts since, where it holds nothing.

import type * as layout from "./layout.js";
import type { Struct } from "./views.js";

/** What a worker has for a poll, and how often it is looked at when it may take longer. */
const GRACE_MS = 5000;
const LATE_LOOK_MS = 1;

export class GracePeriods {
  /** Ports with memory of which pages come late (postcopy migration): a worker may stand still in it, and for long. */
  lateMemory = 0;

  constructor(private readonly workers: readonly Struct<typeof layout.Worker>[]) {}

  /**
   * Waits until every worker has let go of what it held when this was called: it sleeps, or a new poll has begun.
   * Throws when a worker does not come round within five seconds and waits for no page that comes late: it has died, and
   * so has the switch.
   */
  async wait(): Promise<void> {
    let deadline = Date.now() + GRACE_MS;
    const waiting = this.workers.map((worker) => ({ worker, epoch: worker.load("epoch") }));
    for (const { worker, epoch } of waiting) {
      while (worker.load("parked") === 0 && worker.load("epoch") === epoch) {
        if (this.lateMemory > 0) {
          deadline = Date.now() + GRACE_MS;
          await new Promise((resolve) => setTimeout(resolve, LATE_LOOK_MS));
        } else {
          if (Date.now() > deadline) throw new Error(`worker ${worker.get("id")} does not answer any more`);
          await new Promise(setImmediate);
        }
      }
    }
  }
}
