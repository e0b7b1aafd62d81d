// Service chains, as CSIT's nfv_density has them: virtual machines with two NICs each that pass on what comes in at one
// by the other, several in a row, several rows side by side on one switch. Frames go through every row both ways.

import { afterEach, beforeEach, expect, test } from "vitest";
import { numberOf } from "../core/support/frames.js";
import { describeLinux } from "../sys/linux.js";
import { HandGuest, handFrame, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";

const CHAINS = 3;
const MACHINES = 4;
const FRAMES = 200;
/** Under way in one direction of a chain: fewer than any NIC has receive buffers, so that none may be dropped. */
const WINDOW = 16;
const ADDRESSES = 12;

/** What one NIC of a row sends to and hears from: the other NIC of its cable, and the one behind itself in its machine. */
interface Hop {
  nic: HandGuest;
  /** Where what it sends goes. */
  next: HandGuest;
}

/** One direction of a row: from `first`, over the machines' NICs, to `last`. */
class Direction {
  private sent = 0;
  private arrived = 0;
  private readonly waiting: Uint8Array[][];

  constructor(
    private readonly first: HandGuest,
    private readonly hops: readonly { in: HandGuest; out: Hop }[],
    private readonly last: HandGuest,
  ) {
    this.waiting = hops.map(() => []);
  }

  get done(): boolean {
    return this.arrived === FRAMES;
  }

  /** One look at each NIC of the way, whose frames `taken` has. */
  step(taken: ReadonlyMap<HandGuest, Uint8Array[]>): void {
    const first = this.hops[0]!.in;
    while (this.sent < FRAMES && this.sent - this.arrived < WINDOW) {
      if (!this.first.send(this.frame(first, this.first, this.sent))) break;
      this.sent++;
    }
    for (const [i, hop] of this.hops.entries()) {
      const queue = this.waiting[i]!;
      queue.push(...taken.get(hop.in)!);
      while (queue.length > 0 && hop.out.nic.send(readdressed(queue[0]!, hop.out))) queue.shift();
    }
    for (const bytes of taken.get(this.last)!) {
      // In order, each once, and nothing of it changed by four machines and five passes through the switch.
      const wanted = this.frame(this.last, this.hops.at(-1)!.out.nic, this.arrived);
      expect([numberOf(bytes), Buffer.from(bytes).equals(wanted)]).toEqual([this.arrived, true]);
      this.arrived++;
    }
  }

  private frame(to: HandGuest, from: HandGuest, number: number): Uint8Array {
    return handFrame(to.number, from.number, 60 + ((number * 37) % 1400), number);
  }
}

function readdressed(bytes: Uint8Array, { nic, next }: Hop): Uint8Array {
  const copy = bytes.slice();
  copy.set(handFrame(next.number, nic.number, 60, 0).subarray(0, ADDRESSES));
  return copy;
}

describeLinux("service chains", () => {
  let lab: Lab;
  const guests: HandGuest[] = [];
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(async () => {
    for (const guest of guests.splice(0)) guest.close();
    await lab.close();
  });

  test.each([1, 2])(
    `F41: ${CHAINS} of ${MACHINES} machines, both ways, %i workers: every frame comes out in order`,
    async (workers) => {
      const nics = 2 * MACHINES + 2;
      const names = Array.from({ length: CHAINS * nics }, (_, i) => `nic${i}`);
      await lab.start(
        names.map((name) => `${name}=listen`),
        ["--workers", `${workers}`],
      );
      for (const name of names) {
        const guest = new HandGuest();
        guests.push(guest);
        await guest.start(lab.file(name));
      }
      // The switch hears of everybody, so that nothing is flooded from here on.
      for (const [i, guest] of guests.entries()) await pass(guest, guests[(i + 1) % guests.length]!, i);
      for (const guest of guests) guest.receive();

      const directions = Array.from({ length: CHAINS }, (_, chain) => {
        const row = guests.slice(chain * nics, (chain + 1) * nics);
        return [row, [...row].reverse()].map((way) => {
          const hops = Array.from({ length: MACHINES }, (_, i) => ({
            in: way[1 + 2 * i]!,
            out: { nic: way[2 + 2 * i]!, next: way[3 + 2 * i]! },
          }));
          return new Direction(way[0]!, hops, way.at(-1)!);
        });
      }).flat();
      while (!directions.every(({ done }) => done)) {
        await until("one more frame somewhere on its way", () => {
          const taken = new Map(guests.map((guest) => [guest, guest.receive()]));
          for (const direction of directions) direction.step(taken);
          return [...taken.values()].some(({ length }) => length > 0) || undefined;
        });
      }

      for (const port of (await lab.control.status()).ports) {
        expect([port.name, port.drops]).toEqual([port.name, {}]);
        expect(port.queues.map(({ state }) => state)).toEqual(["running", "running"]);
      }
    },
    240_000,
  );
});
