// Indirect tables of packed rings as real drivers write them.

import { describe, expect, test } from "vitest";
import {
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_HDR_SIZE,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { BROADCAST, frame, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";

const features = bits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED, VIRTIO_F_INDIRECT_DESC);

describe.each(TARGETS)("indirect tables of packed rings, %s build", (target) => {
  // DPDK's virtio driver sets up its tables once with WRITE in every entry and takes it away from all but the header's.
  test("a transmitq's table whose header is marked as writable is sent all the same", async () => {
    const sw = new TestSwitch({ target });
    const guest = await TestGuest.create(sw, { features });
    const peer = await TestGuest.create(sw, { features });
    const bytes = frame(BROADCAST, 1, 200, 3);
    const header = guest.allocate(VIRTIO_NET_HDR_SIZE);
    const data = guest.allocate(bytes.length);
    guest.write(data, bytes);
    const table = guest.allocate(2 * VIRTQ_DESC_SIZE, VIRTQ_DESC_SIZE);
    const driver = guest.packedDriver(1);
    driver.writeDescriptor(table, 0, { address: header, length: VIRTIO_NET_HDR_SIZE }, VIRTQ_DESC_F_WRITE, 0);
    driver.writeDescriptor(table, 1, { address: data, length: bytes.length }, 0, 1);
    const whole = { address: table, length: 2 * VIRTQ_DESC_SIZE };
    driver.makeAvailable([{ buffer: whole, flags: VIRTQ_DESC_F_INDIRECT }], 5);
    sw.settle();
    expect(peer.receive()).toEqual([bytes]);
    expect(guest.drops(1)).toEqual({});
  });
});
