// Frames with offloads that had to wait for a receiver's translations: they are what they would have been at once.

import { describe, expect, test } from "vitest";
import { VIRTIO_F_VERSION_1, VIRTIO_NET_HDR_GSO_TCPV4 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { frame, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";
import { IommuGuest } from "./support/iommu-guest.js";
import { GUEST_CSUM, HOST_ALL } from "./support/offload-guests.js";
import { tcp4 } from "./support/offload-kinds.js";
import { decodeHeader, encodeHeader, NO_OFFLOAD, packet } from "./support/packets.js";
import { testMemory } from "./support/test-switch.js";
import { ask, finished, segments } from "./support/wire.js";

const MODERN = bits(VIRTIO_F_VERSION_1);
const memory = testMemory();

describe.each(VARIANTS)(
  "offloads to a receiveq behind a virtual IOMMU, $form rings, $target build",
  ({ target, ring }) => {
    async function scene(takes: bigint, buffers: number) {
      const sw = new TestSwitch({ target, memory });
      const a = await IommuGuest.create(sw, { features: MODERN | ring | takes });
      const b = await TestGuest.create(sw, { features: MODERN | ring | HOST_ALL, ramBytes: 1 << 20, rxBuffers: 0 });
      return { sw, a, b, pages: a.give(buffers) };
    }

    test.each([
      ["is finished for one that does not take it open", 0n],
      ["is passed on to one that does", GUEST_CSUM],
    ])("the checksum of a frame that waited %s", async (_, takes) => {
      const { sw, a, b, pages } = await scene(takes, 2);
      const bytes = packet({ ...tcp4, payload: 100 });
      const header = ask(bytes);
      // In one burst with a frame that asks for nothing.
      b.send(frame(8, 9, 60, 1));
      b.transmit(bytes, { header: encodeHeader(header) });
      sw.settle();
      expect(a.guest.receiveWithHeaders()).toEqual([]);
      await a.tell(pages);
      sw.settle();
      const [plain, got] = a.guest.receiveWithHeaders();
      expect([decodeHeader(plain!.header), plain!.frame]).toEqual([NO_OFFLOAD, frame(8, 9, 60, 1)]);
      const expected = takes === 0n ? [NO_OFFLOAD, finished(bytes, header)] : [header, bytes];
      expect([decodeHeader(got!.header), got!.frame]).toEqual(expected);
    });

    test("a frame that is to be cut waits whole for the place of its first segment", async () => {
      const { sw, a, b, pages } = await scene(0n, 8);
      const bytes = packet({ ...tcp4, payload: 4000 });
      const header = ask(bytes, VIRTIO_NET_HDR_GSO_TCPV4, 1000);
      b.transmit(bytes, { header: encodeHeader(header) });
      sw.settle();
      expect([a.guest.receive(), a.guest.queue(0).softwareOffloads]).toEqual([
        [],
        { segmented: 0, segments: 0, checksums: 0 },
      ]);
      await a.tell(pages);
      sw.settle();
      expect(a.guest.receive()).toEqual(segments(bytes, header));
      expect(a.guest.queue(0).softwareOffloads).toMatchObject({ segmented: 1, segments: 4 });
      expect(a.guest.drops(0)).toEqual({});
    });
  },
);
