// What the driver of a lab's guest does when it is called: it takes sent buffers back, takes frames, and gives their buffers
// anew; and how it fails to.

import type { Buffer } from "../guest/ring-driver.js";
import { MILLISECOND } from "./clock.js";
import type { LabGuest } from "./guest.js";

/** A frame that the driver has taken. */
export interface ReceivedFrame {
  frame: Uint8Array;
  /** struct virtio_net_hdr in front of it. */
  header: Uint8Array;
  /** Milliseconds of the lab's clock; and since it was sent, if it was sent as it is. */
  at: number;
  latency: number | undefined;
}

/** What is wrong with a guest at the moment; faults set it (faults.ts). */
export interface Trouble {
  /** It neither takes frames nor takes its sent buffers back. */
  stalled: boolean;
  /** It takes frames, and gives no receive buffers; it takes no sent buffers back. */
  withholding: boolean;
  /** Frames it takes in a millisecond; undefined: as they come. */
  rate: number | undefined;
  losesKicks: boolean;
  losesCalls: boolean;
  /** Milliseconds. */
  kicksLate: number;
  callsLate: number;
}

export class GuestDriver {
  /** Chains that faults offer: when they come back they are not given again. */
  readonly poison = new Set<Buffer[]>();
  private readonly withheld: { pair: number; chain: Buffer[] }[] = [];
  private readonly due = new Set<number>();
  /** Pairs that are looked at when it is time for the next frame, and no sooner. */
  private readonly paced = new Set<number>();

  constructor(private readonly guest: LabGuest) {}

  /** Looks at a pair of queues in `delay` nanoseconds; at once is in time when it will look in any case. */
  serviceIn(pair: number, delay: number): void {
    if (this.due.has(pair) && delay === 0) return;
    this.due.add(pair);
    this.guest.lab.clock.after(delay, () => {
      this.due.delete(pair);
      this.service(pair);
    });
  }

  /** Its rings were emptied. */
  forget(): void {
    this.poison.clear();
    this.withheld.length = 0;
  }

  private service(pair: number): void {
    const { trouble, device, connected } = this.guest;
    if (trouble.stalled || !connected || this.paced.has(pair)) return;
    if (!trouble.withholding) {
      device.reclaim(pair);
      for (const { pair: of, chain } of this.withheld.splice(0)) this.give(of, chain);
    }
    const most = trouble.rate === undefined ? Number.POSITIVE_INFINITY : 1;
    for (let taken = 0; this.take(pair); ) {
      if (++taken < most) continue;
      this.paced.add(pair);
      this.guest.lab.clock.after(MILLISECOND / trouble.rate!, () => {
        this.paced.delete(pair);
        this.service(pair);
      });
      return;
    }
    device.rx[pair]!.wantCalls(true);
    device.tx[pair]!.wantCalls(true);
  }

  /** Gives receive buffers anew. What a fault has put into the ring may have their room: then they wait for it. */
  private give(pair: number, chain: Buffer[]): void {
    const { device } = this.guest;
    if (device.rx[pair]!.freeDescriptors >= chain.length) device.giveBuffers(chain, pair);
    else this.withheld.push({ pair, chain });
  }

  /** Takes one frame. False when there is none. */
  private take(pair: number): boolean {
    const { guest } = this;
    const { device } = guest;
    const chains: Buffer[][] = [];
    const next = device.receiveOne(pair, chains);
    for (const chain of chains) {
      if (this.poison.delete(chain)) continue;
      if (guest.trouble.withholding) this.withheld.push({ pair, chain });
      else this.give(pair, chain);
    }
    if (!next) return false;
    guest.took(next);
    return true;
  }
}
