// Puts a frame of the switch's own into the bridge as if a port's guest had sent it. The data path knows nothing of it:
// for a moment the port has one more transmitq, of one entry, and one more region, in which the frame lies.

import { VIRTQ_AVAIL_F_NO_INTERRUPT } from "../../assembly/spec/virtio.js";
import type { Bridge } from "./bridge.js";
import type { BridgePort } from "./bridge-port.js";

/** A transmitq that no front-end can name: vhost-user's have 8 bits. */
const INJECT_QUEUE = 0x101;
const DESC = 0;
const AVAIL = 16;
const USED = 32;
const FRAME = 64;
/** The region is sought from the end of the address space down; guests have theirs at its beginning. */
const HIGHEST = 0xffff_ffff_ffff_0000n;
const STEP = 0x1_0000n;
const LIMIT_MS = 1000;

/**
 * Sends one frame from `port`, by way of `worker`, and waits until it has been forwarded. One call for a port at a time.
 * @throws Error when the worker does not take it within a second, and no page comes late that it may wait for
 */
export async function injectFrame(bridge: Bridge, port: BridgePort, frame: Uint8Array, worker: number): Promise<void> {
  const length = port.headerBytes + frame.length;
  const at = bridge.control.allocate(FRAME + length);
  const { bytes, data } = bridge.views;
  const guestAddress = freeAddress(port.translations?.readable ?? port.regions, length);
  // One descriptor, available; no call, nor (event idx) one at an index that never comes.
  data.setBigUint64(at + DESC, guestAddress, true);
  data.setUint32(at + DESC + 8, length, true);
  data.setUint16(at + AVAIL, VIRTQ_AVAIL_F_NO_INTERRUPT, true);
  data.setUint16(at + AVAIL + 2, 1, true);
  data.setUint16(at + AVAIL + 6, 0xffff, true);
  bytes.set(frame, at + FRAME + port.headerBytes);
  await bridge.setOwnRegions(port, [{ guestAddress, size: BigInt(length), window: at + FRAME }]);
  try {
    const ring = { size: 1, desc: at + DESC, avail: at + AVAIL, used: at + USED, nextAvail: 0 };
    await bridge.startQueue(port, INJECT_QUEUE, ring, { callFd: -1, enabled: true, worker });
    let deadline = Date.now() + LIMIT_MS;
    while (data.getUint16(at + USED + 2, true) === 0) {
      if (bridge.grace.lateMemory > 0) deadline = Date.now() + LIMIT_MS;
      if (Date.now() > deadline) throw new Error("the worker did not take the switch's own frame");
      await new Promise(setImmediate);
    }
  } finally {
    await bridge.removeQueue(port, INJECT_QUEUE);
    await bridge.setOwnRegions(port, []);
    bridge.control.release(at, FRAME + length);
  }
}

function freeAddress(regions: readonly { guestAddress: bigint; size: bigint }[], length: number): bigint {
  let address = HIGHEST;
  while (regions.some((r) => address < r.guestAddress + r.size && r.guestAddress < address + BigInt(length))) {
    address -= STEP;
  }
  return address;
}
