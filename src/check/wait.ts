// Waiting for what another process does: looked for again and again, with a limit.

import { setTimeout as sleep } from "node:timers/promises";

const LOOK_MS = 1;
/** What comes at once is seen at once: so many looks before the first sleep. */
const QUICK_LOOKS = 20;

/** What `look` finds, as soon as it finds something; undefined when that is not within `ms` milliseconds. */
export async function within<T>(ms: number, look: () => T | undefined): Promise<T | undefined> {
  const end = performance.now() + ms;
  for (let looks = 0; ; looks++) {
    const found = look();
    if (found !== undefined || performance.now() > end) return found;
    await (looks < QUICK_LOOKS ? new Promise(setImmediate) : sleep(LOOK_MS));
  }
}
