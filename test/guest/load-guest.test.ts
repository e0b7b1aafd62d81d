// Simulated guests on a real switch over real sockets, whatever they negotiate and in whose order.

import { afterEach, beforeEach, expect, test } from "vitest";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { bufferBytesFor } from "../../src/guest/driver.js";
import { LOAD_FEATURES, LoadGuest, type LoadGuestOptions } from "../../src/guest/load-guest.js";
import { guestMac, IMIX, type TrafficFlow } from "../../src/guest/traffic.js";
import { describeLinux } from "../sys/linux.js";
import { SwitchFolder } from "./support/switch-process.js";

const CLEAN = { corrupt: 0, foreign: 0, lost: 0, duplicates: 0, reordered: 0, stale: 0 };
const [MAC1, MAC2] = [guestMac(1), guestMac(2)] as [string, string];
const FLOWS: TrafficFlow[] = [
  { from: MAC1, to: MAC2 },
  { from: MAC2, to: MAC1 },
];

let folder: SwitchFolder;
const guests: LoadGuest[] = [];

beforeEach(() => {
  folder = new SwitchFolder();
});
afterEach(async () => {
  for (const guest of guests.splice(0)) guest.release();
  await folder.close();
});

async function attach(options: Partial<LoadGuestOptions> & { mac: string; path: string }): Promise<LoadGuest> {
  const guest = await LoadGuest.attach({ flows: FLOWS, timeoutMs: 5000, ...options });
  guests.push(guest);
  return guest;
}

/** Both guests send `count` frames on each pair, never more ahead than fit the rings, and receive them all. */
function exchange(a: LoadGuest, b: LoadGuest, count: number, pairs = 1): void {
  const end = Date.now() + 10_000;
  const goal = [a, b].map((guest) => guest.counters().received.frames + count * pairs);
  const sent = [a, b].map(() => Array.from({ length: pairs }, () => 0));
  const done = () => [a, b].every((guest, i) => guest.counters().received.frames >= goal[i]!);
  while (!done()) {
    if (Date.now() > end) throw new Error(`not all frames came: ${JSON.stringify([a.counters(), b.counters()])}`);
    for (const [i, guest] of [a, b].entries()) {
      for (let pair = 0; pair < pairs; pair++) {
        const left = count - sent[i]![pair]!;
        if (left > 0 && guest.lead < 32) sent[i]![pair]! += guest.send(Math.min(16, left), pair);
        guest.receive(64, pair);
      }
    }
    a.wait(1);
  }
}

function expectClean(...list: LoadGuest[]): void {
  for (const guest of list) {
    expect(guest.fault).toBeUndefined();
    expect(guest.counters().received).toMatchObject(CLEAN);
  }
}

const MODERN = bits(VIRTIO_F_VERSION_1);
const PACKED = bits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED);
const VARIANTS: [string, Partial<LoadGuestOptions>][] = [
  ["QEMU's order of messages", {}],
  ["DPDK's order of messages", { script: "dpdk" }],
  ["two memory regions", { regions: 2 }],
  ["two memory regions, DPDK", { regions: 2, script: "dpdk" }],
  ["event idx", { features: MODERN | bits(VIRTIO_F_EVENT_IDX) }],
  ["no merged buffers, in order", { features: MODERN | bits(VIRTIO_F_IN_ORDER) }],
  ["merged buffers, not in order", { features: MODERN | bits(VIRTIO_NET_F_MRG_RXBUF) }],
  ["a legacy device with a short header", { features: 0n }],
  ["a long ring", { queueSize: 4096 }],
  ["packed rings, in order", { features: PACKED | bits(VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_IN_ORDER) }],
  ["packed rings of 100 entries, DPDK", { features: PACKED, queueSize: 100, script: "dpdk" }],
  ["packed rings, event idx", { features: PACKED | bits(VIRTIO_F_EVENT_IDX) }],
];

describeLinux("load guests", () => {
  test.each(VARIANTS)("%s", async (_, options) => {
    await folder.start(["vm1=listen", "vm2=listen"]);
    const a = await attach({ mac: MAC1, path: folder.file("vm1"), ...options });
    const b = await attach({ mac: MAC2, path: folder.file("vm2"), ...options });
    for (const guest of [a, b]) guest.setTraffic(IMIX);
    // What the switch does not offer would not be tested.
    if (options.features !== undefined) expect([a.features, b.features]).toEqual([options.features, options.features]);
    exchange(a, b, 3000);
    expectClean(a, b);
    const { ports } = await folder.control.status();
    expect(ports.map(({ rxFrames, txFrames, drops }) => [rxFrames, txFrames, drops])).toEqual([
      [3000, 3000, {}],
      [3000, 3000, {}],
    ]);
    expect(ports[0]!.regions.map(({ shrinkable }) => shrinkable)).toEqual(
      options.regions === 2 ? [false, false] : [false],
    );
    await a.detach();
    await b.detach();
    expect(a.counters().sent.frames).toBe(3000);
    expect(a.counters().pending).toBe(0);
  });

  test("a switch that connects to the guest's own socket", async () => {
    const waiting = attach({ mac: MAC1, path: folder.file("vm1"), role: "listen" });
    await folder.start(["vm1=connect", "vm2=listen"]);
    const a = await waiting;
    const b = await attach({ mac: MAC2, path: folder.file("vm2") });
    exchange(a, b, 500);
    expectClean(a, b);
  });

  test("several queue pairs, each with flows of its own", async () => {
    const flows = [...Array.from({ length: 4 }, () => FLOWS[0]!), ...Array.from({ length: 4 }, () => FLOWS[1]!)];
    await folder.start(["vm1=listen", "vm2=listen"]);
    const a = await attach({ mac: MAC1, path: folder.file("vm1"), pairs: 2, flows });
    const b = await attach({ mac: MAC2, path: folder.file("vm2"), pairs: 2, flows });
    exchange(a, b, 1000, 2);
    expectClean(a, b);
    await expect(attach({ mac: MAC1, path: folder.file("vm1"), pairs: 5, flows })).rejects.toThrow(
      "02:00:00:01:00:00 needs a flow for each of its 5 queue pairs",
    );
  });

  test("large frames over small merged buffers, in two regions", async () => {
    const options = { frameBytes: 9018, rxBufferBytes: bufferBytesFor(2048), regions: 2 as const };
    await folder.start(["vm1=listen", "vm2=listen"]);
    const a = await attach({ mac: MAC1, path: folder.file("vm1"), ...options });
    const b = await attach({ mac: MAC2, path: folder.file("vm2"), ...options });
    for (const guest of [a, b]) guest.setTraffic([9018, 60, 4000]);
    exchange(a, b, 600);
    expectClean(a, b);
  });

  test("an idle guest sleeps until a frame comes, or somebody wakes it", async () => {
    await folder.start(["vm1=listen", "vm2=listen"]);
    const a = await attach({ mac: MAC1, path: folder.file("vm1") });
    const b = await attach({ mac: MAC2, path: folder.file("vm2") });
    // The switch calls once when it starts a ring.
    b.wait(0);
    let awake = false;
    const asleep = b.sleep(-1).then(() => {
      awake = true;
    });
    await folder.control.status();
    expect(awake).toBe(false);
    a.send(3);
    await asleep;
    expect(b.receive(10)).toBeGreaterThan(0);
    exchange(a, b, 10);
    const again = b.sleep(-1);
    b.wake();
    await again;
  });

  test.each([
    ["split", LOAD_FEATURES],
    ["packed", LOAD_FEATURES | PACKED],
  ])("the rings go on where a switch that was killed had come to, %s", async (_, features) => {
    const first = await folder.start(["vm1=listen", "vm2=listen"]);
    const a = await attach({ mac: MAC1, path: folder.file("vm1"), features });
    const b = await attach({ mac: MAC2, path: folder.file("vm2"), features });
    exchange(a, b, 700);
    const lost = Promise.all(
      [a, b].map(
        (guest) =>
          new Promise<string>((resolve) => {
            guest.onLost = (error) => resolve(error.message);
          }),
      ),
    );
    await first.end("SIGKILL");
    expect(await lost).toEqual([
      `the switch closed the connection at ${folder.file("vm1")}`,
      `the switch closed the connection at ${folder.file("vm2")}`,
    ]);
    // Waiting in the ring while there is no switch.
    a.send(5);
    await folder.start(["vm1=listen", "vm2=listen"]);
    await b.reattach();
    await a.reattach();
    exchange(a, b, 700);
    while (b.counters().received.frames < 1405) {
      b.wait(100);
      b.receive(64);
    }
    expectClean(a, b);
    expect((await folder.control.status()).ports.map(({ rxFrames }) => rxFrames)).toEqual([705, 700]);
  });
});
