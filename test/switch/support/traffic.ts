// Traffic whose every frame is accounted for: between simulated guests that check it, beside whatever a test does.

import { expect } from "vitest";
import { LoadGuest, type LoadGuestOptions } from "../../../src/guest/load-guest.js";
import { guestMac, IMIX } from "../../../src/guest/traffic.js";
import { type Lab, until } from "./lab.js";

/** Frames on their way to one guest, at most: far fewer than its ring has. */
const AHEAD = 48;
const TURN_MS = 2;
const FLOWS_PER_GUEST = 8;
const PERFECT = { corrupt: 0, lost: 0, duplicates: 0, reordered: 0, stale: 0 };

type Options = Partial<LoadGuestOptions>;

/** Two guests on two ports that send to each other all the time, never more than fits: nothing may be lost. */
export class Pair {
  private timer: NodeJS.Timeout | undefined;

  /** Guests number `first` and `first` + 1, attached to the ports of these names. */
  static async attach(lab: Lab, names: [string, string], first: number, options: Options | [Options, Options] = {}) {
    const macs = [guestMac(first), guestMac(first + 1)] as const;
    const each = Array.isArray(options) ? options : [options, options];
    const pairs = Math.max(...each.map(({ pairs = 1 }) => pairs));
    // Each pair's flows have numbers of their own, so that what one floods is foreign to the others.
    const others = { from: guestMac(0xffff), to: guestMac(0xffff) };
    const flows = [
      ...Array.from({ length: first * FLOWS_PER_GUEST }, () => others),
      ...Array.from({ length: pairs }, () => ({ from: macs[0], to: macs[1] })),
      ...Array.from({ length: pairs }, () => ({ from: macs[1], to: macs[0] })),
    ];
    const guests: LoadGuest[] = [];
    try {
      for (const [i, name] of names.entries()) {
        const where = { flows, mac: macs[i]!, path: lab.file(name), timeoutMs: 15_000 };
        guests.push(await LoadGuest.attach({ ...where, ...each[i] }));
        guests[i]!.setTraffic(IMIX);
      }
    } catch (error) {
      for (const guest of guests) guest.release();
      throw error;
    }
    const pair = new Pair(guests[0]!, guests[1]!, [each[0]!.pairs ?? 1, each[1]!.pairs ?? 1]);
    // Each side is heard once, so that no later frame is flooded.
    await pair.exchange(1);
    return pair;
  }

  private constructor(
    readonly a: LoadGuest,
    readonly b: LoadGuest,
    private readonly queuePairs: [number, number],
  ) {}

  /** Frames that have arrived. Those of others, flooded, do not count. */
  get arrived(): number {
    return own(this.a) + own(this.b);
  }

  get sent(): number {
    return this.a.counters().sent.frames + this.b.counters().sent.frames;
  }

  /** Sends from now on, while the event loop runs. */
  go(): this {
    this.timer = setInterval(() => this.turn(8), TURN_MS);
    return this;
  }

  /** At least so many more frames have arrived. */
  async more(frames: number): Promise<void> {
    const goal = this.arrived + frames;
    await until(`${frames} more frames between ${JSON.stringify(this.state())}`, () => {
      if (this.timer === undefined) this.turn(8);
      return this.arrived >= goal || undefined;
    });
  }

  /** Each side sends about `frames`; all arrive. */
  async exchange(frames: number): Promise<void> {
    const goal = this.sent + 2 * frames;
    await until(`${frames} frames sent`, () => {
      this.turn(Math.min(8, frames));
      return this.sent >= goal || undefined;
    });
    await this.settle();
  }

  /** Stops sending, waits for what is under way, and expects that nothing was lost, changed or out of order. */
  async settle(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    try {
      await until("all frames that were sent", () => {
        this.turn(0);
        return this.arrived >= this.sent || undefined;
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${JSON.stringify(this.state())}`);
    }
    for (const [guest, other] of [
      [this.a, this.b],
      [this.b, this.a],
    ] as const) {
      expect(guest.fault).toBeUndefined();
      expect(guest.counters().received).toMatchObject(PERFECT);
      expect(own(guest)).toBe(other.counters().sent.frames);
    }
  }

  /** Leaves at once. */
  release(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.a.release();
    this.b.release();
  }

  private turn(count: number): void {
    for (const [i, guest] of [this.a, this.b].entries()) {
      const other = i === 0 ? this.b : this.a;
      for (let pair = 0; pair < this.queuePairs[i]!; pair++) {
        if (count > 0 && guest.counters().sent.frames - own(other) < AHEAD) guest.send(count, pair);
        guest.receive(64, pair);
      }
    }
  }

  private state(): unknown {
    return [this.a, this.b].map((guest) => [guest.counters(), guest.fault]);
  }
}

function own(guest: LoadGuest): number {
  const { frames, foreign } = guest.counters().received;
  return frames - foreign;
}

/** Two good guests come to these ports, exchange frames and leave: whatever was there before has left nothing behind. */
export async function expectGoodGuests(lab: Lab, names: [string, string], first = 90): Promise<void> {
  const pair = await Pair.attach(lab, names, first);
  try {
    await pair.exchange(32);
    for (const name of names) expect((await lab.port(name)).lastError).toBeUndefined();
  } finally {
    pair.release();
  }
  for (const name of names) await lab.vacant(name);
}
