// A switch that is killed under load, again and again, and started again on the guests' sockets: which frames does that
// cost, and which come twice? The guarantee is in ARCHITECTURE.md, "After a kill".

import { afterEach, beforeEach, expect, test } from "vitest";
import { VIRTIO_F_RING_PACKED } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { BURST } from "../../src/core/layout.js";
import { LOAD_FEATURES, type LoadGuest } from "../../src/guest/load-guest.js";
import { describeLinux } from "../sys/linux.js";
import { Lab, until } from "./support/lab.js";
import { Pair } from "./support/traffic.js";

/** Of either form of ring. */
const KILLS = 15;
/** Frames under way to one guest, at most: fewer than it has receive buffers. */
const ROOM = 256;
const PORTS = ["vm1=connect", "vm2=connect"];

describeLinux("a switch killed under load", () => {
  let lab: Lab;
  let pair: Pair | undefined;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(async () => {
    pair?.release();
    await lab.close();
  });

  test.each([
    ["split", 0n],
    ["packed", bits(VIRTIO_F_RING_PACKED)],
  ])(
    `F20: ${KILLS} times, %s rings: no frame is lost uncounted, and a kill doubles no more than a burst of each queue`,
    {
      timeout: 120_000,
    },
    async (_, ring) => {
      const starting = lab.start(PORTS);
      pair = await Pair.attach(lab, ["vm1", "vm2"], 1, {
        ...{ role: "listen", queueSize: 512, features: LOAD_FEATURES | ring },
      });
      await starting;
      const guests = [pair.a, pair.b];
      for (const { features } of guests) expect(features & ring).toBe(ring);
      const doubled: number[] = [];
      const dropped = new Map<string, number>();
      const duplicates = () => guests.reduce((sum, guest) => sum + guest.counters().received.duplicates, 0);
      for (let kill = 0; kill < KILLS; kill++) {
        const before = duplicates();
        const lost = Promise.all(guests.map((guest) => new Promise((resolve) => (guest.onLost = resolve))));
        // As much as the receivers have room for, up to and over the end of the switch.
        let gone = false;
        const behind = () => guests.map((guest, i) => guest.counters().sent.frames - own(guests[1 - i]!));
        const atRest = behind();
        const load = (async () => {
          while (!gone) {
            behind().forEach((frames, i) => {
              guests[i]!.send(Math.max(0, ROOM - (frames - atRest[i]!)));
            });
            for (const guest of guests) guest.receive(1024);
            await new Promise(setImmediate);
          }
        })();
        await pair.more(20_000 + 370 * kill);
        await lab.stop("SIGKILL");
        await lost;
        gone = true;
        await load;
        await lab.start(PORTS);
        await Promise.all(guests.map((guest) => guest.reattach()));
        await until("all that was sent", () => {
          for (const guest of guests) guest.receive(64);
          return guests.every((guest) => guest.counters().pending === 0) || undefined;
        });
        for (const guest of guests) while (guest.receive(64) > 0);
        doubled.push(duplicates() - before);
        // The guest that is back first finds the other one's port empty.
        const { ports } = await lab.control.status();
        for (const { drops } of ports)
          for (const [cause, count] of Object.entries(drops)) dropped.set(cause, count + (dropped.get(cause) ?? 0));
      }
      const { sent, received } = sums(pair);
      // One more of each shows whether any before it is missing.
      const goal = sums(pair).received.frames + 2;
      for (const guest of guests) guest.send(1);
      await until("the last frames", () => {
        for (const guest of guests) guest.receive(64);
        return sums(pair!).received.frames >= goal || undefined;
      });
      // What was sent has come, or is counted as dropped for want of a port.
      const causes = [...dropped.keys()].filter((cause) => cause !== "no-port" && cause !== "port-down");
      expect(causes).toEqual([]);
      const drops = [...dropped.values()].reduce((sum, count) => sum + count, 0);
      console.log(`doubled by each kill: ${doubled.join(" ")}; dropped while a port was empty: ${drops}`);
      expect(received).toMatchObject({ corrupt: 0, stale: 0, lost: drops });
      expect(received.frames - received.foreign - received.duplicates).toBe(sent - drops);
      expect(Math.max(...doubled)).toBeLessThanOrEqual(2 * BURST);
    },
  );
});

/** Frames of the other guest that have come, those that came twice counted once. */
function own(guest: LoadGuest): number {
  const { frames, foreign, duplicates } = guest.counters().received;
  return frames - foreign - duplicates;
}

/** Both guests' counters together. */
function sums(pair: Pair) {
  const [a, b] = [pair.a.counters(), pair.b.counters()];
  const received = Object.fromEntries(
    Object.entries(a.received).map(([name, count]) => [name, count + b.received[name as keyof typeof b.received]]),
  ) as typeof a.received;
  return { sent: a.sent.frames + b.sent.frames, received };
}
