// Frames of the switch's own: they come from a port as its guest's do, and leave no trace behind.

import { describe, expect, test } from "vitest";
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { injectFrame } from "../../src/core/inject.js";
import { TranslationLists } from "../../src/core/translation-lists.js";
import { BROADCAST, frame, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";

describe.each(TARGETS)("a frame of the switch's own, %s build", (target) => {
  /** Injects while the only worker is polled. */
  async function inject(sw: TestSwitch, guest: TestGuest, bytes: Uint8Array): Promise<void> {
    let done = false;
    const sent = injectFrame(sw.bridge, guest.port, bytes, 0).finally(() => {
      done = true;
    });
    while (!done) {
      sw.poll();
      await new Promise(setImmediate);
    }
    await sent;
  }

  test.each([0n, bits(VIRTIO_F_VERSION_1), bits(VIRTIO_F_VERSION_1, VIRTIO_F_EVENT_IDX)])(
    "reaches all others but not the port it comes from, where its source is learned (features 0x%x)",
    async (features) => {
      const sw = new TestSwitch({ target });
      const [a, b, c] = [
        await TestGuest.create(sw, { features }),
        await TestGuest.create(sw, { features: 0n }),
        await TestGuest.create(sw, { features }),
      ];
      const used = sw.bridge.control.usedBytes;
      const regions = a.port.regions;
      const announcement = frame(BROADCAST, 7, 60);
      await inject(sw, a, announcement);
      expect(b.receive()).toEqual([announcement]);
      expect(c.receive()).toEqual([announcement]);
      expect(a.receive()).toEqual([]);
      expect(sw.bridge.fdbEntries()).toEqual([expect.objectContaining({ port: a.port.id })]);
      // The guest's own rings go on, and nothing is left of the other.
      const answer = frame(7, 2, 64);
      b.send(answer);
      sw.settle();
      expect(a.receive()).toEqual([answer]);
      expect([...a.port.queues.keys()]).toEqual([0, 1]);
      expect(a.port.regions).toEqual(regions);
      expect(sw.bridge.control.usedBytes).toBe(used);
    },
  );

  test("takes its place beside whatever addresses the guest has", async () => {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { base: 0xffff_ffff_ff00_0000n });
    const b = await TestGuest.create(sw, {});
    const announcement = frame(BROADCAST, 7, 60);
    const inside = { guestAddress: 0xffff_ffff_ffff_0000n, size: 0x1_0000n, window: a.port.regions[0]!.window };
    await sw.bridge.setRegions(a.port, [...a.port.regions.filter((r) => r.guestAddress < inside.guestAddress), inside]);
    await inject(sw, a, announcement);
    expect(b.receive()).toEqual([announcement]);
  });

  test("comes from a port behind a virtual IOMMU that knows nothing yet, and takes no place from what it knows", async () => {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { base: 0n });
    const b = await TestGuest.create(sw, {});
    const announcement = frame(BROADCAST, 7, 60);
    const { regions } = a.port;
    for (const known of [[], regions]) {
      await sw.bridge.setTranslations(
        a.port,
        TranslationLists.of(known.map((region) => ({ ...region, permission: 3 }))),
      );
      await inject(sw, a, announcement);
      expect(b.receive()).toEqual([announcement]);
    }
    const answer = frame(7, 2, 64);
    b.send(answer);
    sw.settle();
    expect(a.receive()).toEqual([answer]);
  });

  test("a worker that does not come is an error, and nothing is left", async () => {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, {});
    const used = sw.bridge.control.usedBytes;
    await expect(injectFrame(sw.bridge, a.port, frame(BROADCAST, 7, 60), 0)).rejects.toThrow("did not take");
    expect(sw.bridge.control.usedBytes).toBe(used);
    expect([...a.port.queues.keys()]).toEqual([0, 1]);
  });
});
