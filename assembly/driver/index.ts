// The guest's half of the rings, for load: a driver that makes numbered frames whose every byte can be checked, and
// checks them. Like the core it has no heap, no static data and no import but the memory; all state is in the structs
// of abi.ts. The plain drivers that can be bent for tests are src/guest/split-driver.ts and packed-driver.ts.

import { ABI_VERSION as CORE_ABI_VERSION } from "../abi";
import { VIRTQ_DESC_F_WRITE } from "../spec/virtio";
import * as abi from "./abi";
import { passOn as passOnFrames } from "./null-device";
import { receive as receiveFrames } from "./receive";
import { arm as armCall, disarm as disarmCall, offer, publish, reset } from "./ring";
import { reclaim as reclaimSent, send as sendFrames } from "./send";

/** All modules of one build have the same. */
export const ABI_VERSION: u32 = CORE_ABI_VERSION;
export const DRIVER_ABI_VERSION: u32 = abi.DRIVER_ABI_VERSION;

/** Empties the ring of a receiveq and makes all its buffers available. Returns 1 when the device wants a kick. */
export function startReceive(pointer: usize): u32 {
  const queue = changetype<abi.DriverQueue>(pointer);
  reset(queue, VIRTQ_DESC_F_WRITE);
  return queue.packed ? offerAll(queue, true) : offerAll(queue, false);
}

/** @inline */
function offerAll(queue: abi.DriverQueue, packed: bool): u32 {
  for (let i: u32 = 0; i < queue.size; ++i) offer(queue, i, i, queue.bufferBytes, packed);
  return publish(queue, queue.size, packed);
}

/** Empties the ring of a transmitq and zeroes the virtio_net header of all its buffers. */
export function startTransmit(pointer: usize): void {
  const queue = changetype<abi.DriverQueue>(pointer);
  reset(queue, 0);
  for (let i: u32 = 0; i < queue.size; ++i) {
    memory.fill(queue.buffers + i * queue.bufferBytes, 0, queue.headerSize);
  }
}

/**
 * Sends up to `count` frames, as many as there are free buffers for. `stamp` is the sender's clock, in the unit that
 * the receiver's has; of frames after the first it is more by `stampStep`. Returns twice the number of frames, plus 1 when the device wants a kick.
 */
export function send(pointer: usize, count: u32, stamp: u32): u32 {
  return sendFrames(changetype<abi.DriverQueue>(pointer), count, stamp);
}

/** Takes back what was sent, without sending. Returns the number of frames that the device still has. */
export function reclaim(pointer: usize): u32 {
  return reclaimSent(changetype<abi.DriverQueue>(pointer));
}

/**
 * Receives what has come, in up to `budget` buffers (a frame in several is always taken whole), and checks it
 * (VERIFY_*). Returns twice the number of frames, plus 1 when the device wants a kick.
 */
export function receive(pointer: usize, budget: u32, verify: u32, now: u32): u32 {
  return receiveFrames(changetype<abi.DriverQueue>(pointer), budget, verify, now);
}

/**
 * Not a driver's part but the device's: what the least of all back-ends would do between a transmitq and a receiveq
 * (null-device.ts). Returns the number of frames.
 */
export function passOn(transmitq: usize, receiveq: usize): u32 {
  return passOnFrames(changetype<abi.DriverQueue>(transmitq), changetype<abi.DriverQueue>(receiveq));
}

/** Before the guest sleeps: asks for a call. Returns 1 when there is something already, so that it must not sleep. */
export function arm(pointer: usize): u32 {
  return armCall(changetype<abi.DriverQueue>(pointer));
}

/** After it woke: asks not to be called. */
export function disarm(pointer: usize): void {
  disarmCall(changetype<abi.DriverQueue>(pointer));
}
