// Numbered frames from one hand-driven guest to another while something happens to either.

import { expect } from "vitest";
import { type HandGuest, handFrame } from "./hand-guest.js";
import { until } from "./lab.js";

/** Frames numbered one after the other from one guest to another, while the event loop runs. */
export class Flow {
  sent = 0;
  readonly received = new Set<number>();
  changed = 0;
  late = 0;
  private last = -1;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly from: HandGuest,
    private readonly to: HandGuest,
    /** Where the next receive buffer lies: the guest decides, frame by frame. */
    private readonly buffers: () => bigint[] = () => [],
  ) {}

  go(): this {
    this.timer = setInterval(() => {
      for (let i = 0; i < 8 && this.sent - this.received.size < 4096; i++) {
        if (!this.from.send(handFrame(2, 1, 64 + (this.sent % 1400), this.sent))) break;
        this.sent++;
      }
      this.take();
    }, 1);
    return this;
  }

  async more(frames: number): Promise<void> {
    const goal = this.received.size + frames;
    await until(`${frames} more frames`, () => this.received.size >= goal || undefined);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  take(): void {
    for (const bytes of this.to.receive(0, this.buffers().length === 0)) {
      const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(14);
      if (!Buffer.from(bytes).equals(handFrame(2, 1, 64 + (number % 1400), number))) this.changed++;
      if (number <= this.last) this.late++;
      this.last = number;
      this.received.add(number);
    }
    const free = this.buffers();
    if (free.length > 0) this.to.rings[0]!.offer(free);
  }

  /** Stops, and expects every frame to have arrived or to be counted as dropped on the sender's or receiver's port. */
  async settle(drops: () => Promise<number>): Promise<number> {
    this.stop();
    let dropped = 0;
    await until(`all of ${this.sent} frames`, async () => {
      this.take();
      dropped = await drops();
      return this.received.size + dropped >= this.sent || undefined;
    });
    expect([this.received.size + dropped, this.changed, this.late]).toEqual([this.sent, 0, 0]);
    return dropped;
  }
}
