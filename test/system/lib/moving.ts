// What the tests of migrations share: a cable between two switches, QEMU's word on how far it is, and what a peer that
// pings the guest all the time saw of it.
import { HandGuest } from "../../switch/support/hand-guest.js";
import type { Qmp } from "./qmp.js";

/** Passes frames between two switches, as a bridge with two NICs does. */
export class Cable {
  private readonly ends = [new HandGuest({ size: 256 }), new HandGuest({ size: 256 })] as const;
  private timer: NodeJS.Timeout | undefined;

  async plug(paths: readonly [string, string]): Promise<void> {
    for (const [i, end] of this.ends.entries()) await end.start(paths[i]!);
    const [a, b] = this.ends;
    this.timer = setInterval(() => {
      for (const frame of a.receive()) b.send(frame);
      for (const frame of b.receive()) a.send(frame);
    }, 1);
  }

  unplug(): void {
    clearInterval(this.timer);
    for (const end of this.ends) end.close();
  }
}

/** The longest row of lost pings in what ping printed, and how many there were in all. */
export function lost(output: string, count: number): { all: number; row: number } {
  const answered = new Set([...output.matchAll(/seq=(\d+) /g)].map(([, seq]) => Number(seq)));
  let row = 0;
  let longest = 0;
  for (let seq = 0; seq < count; seq++) {
    row = answered.has(seq) ? 0 : row + 1;
    longest = Math.max(longest, row);
  }
  return { all: count - answered.size, row: longest };
}

export interface MigrationInfo {
  status?: string;
  downtime?: number;
  "error-desc"?: string;
  ram?: {
    "dirty-sync-count": number;
    remaining: number;
    total: number;
    "postcopy-requests"?: number;
    "postcopy-bytes"?: number;
  };
}

export async function progressOf(monitor: Qmp): Promise<MigrationInfo> {
  return (await monitor.execute("query-migrate")) as MigrationInfo;
}
