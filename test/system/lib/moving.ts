// What the tests of migrations share: a cable between two switches, and QEMU's word on how far it is.
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
