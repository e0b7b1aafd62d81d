// A frame in several merged buffers of a packed ring: its driver sees all of them used, or none.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { frame, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";

const FEATURES = bits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED, VIRTIO_NET_F_MRG_RXBUF);
/** Buffers of a frame, of so many bytes. */
const CHAINS = 32;
const BUFFER = 64;
const FRAMES = 200;
const LIMIT_MS = 30_000;

describe.each(TARGETS)("merged buffers of a packed ring, %s build", (target) => {
  test("are all used when the first one is, for a driver that looks all the time", async () => {
    const sw = new TestSwitch({ target });
    const options = { features: FEATURES, size: 2 * CHAINS, rxBuffers: 2 * CHAINS, rxBufferBytes: BUFFER };
    const sender = await TestGuest.create(sw, { ...options, rxBuffers: 1 });
    const receiver = await TestGuest.create(sw, options);
    const control = new Int32Array(new SharedArrayBuffer(8));
    const desc = receiver.queue(0).struct.get("desc");
    const workerData = { buffer: sw.memory.buffer, control: control.buffer, desc, chains: CHAINS, frames: FRAMES };
    const thread = new Worker(new URL("./support/frame-watcher.mjs", import.meta.url), { workerData });
    const exit = once(thread, "exit");
    await once(thread, "online");
    const bytes = frame(1, 2, CHAINS * BUFFER - receiver.headerBytes);
    for (let number = 0; number < FRAMES; number++) {
      const release = sender.mark();
      sender.send(bytes);
      sw.settle();
      expect(Atomics.wait(control, 0, number, LIMIT_MS)).not.toBe("timed-out");
      expect(receiver.receive(0, true)).toEqual([bytes]);
      expect(sender.reclaim()).toBe(1);
      release();
    }
    await exit;
    expect(control[1], "frames of which a buffer was missing").toBe(0);
  });
});
