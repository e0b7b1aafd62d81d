// The device's half of two rings, and nothing else: takes the frames of a transmitq, puts the 32 bytes that tell them
// apart into a receiveq, and checks nothing. Against it the driver itself can be measured. Only for rings that the
// driver has laid out in this memory.

import { DriverQueue, RECEIVE_BURST } from "./abi";

/** Passes up to a burst of frames on; those that find no receive buffer are dropped. Returns how many were taken. */
export function passOn(transmitq: DriverQueue, receiveq: DriverQueue): u32 {
  // Both rings are used in order, so what was published last says where to go on.
  const sent = <u32>load<u16>(transmitq.used, 2);
  const count = min((<u32>atomic.load<u16>(transmitq.avail, 2) - sent) & 0xffff, RECEIVE_BURST);
  if (count == 0) return 0;
  const received = <u32>load<u16>(receiveq.used, 2);
  const room = min((<u32>atomic.load<u16>(receiveq.avail, 2) - received) & 0xffff, count);
  const txMask = transmitq.size - 1;
  const rxMask = receiveq.size - 1;
  const header = transmitq.headerSize;
  for (let i: u32 = 0; i < count; ++i) {
    const from = <u32>load<u16>(transmitq.avail + 4 + (((sent + i) & txMask) << 1));
    if (i < room) {
      const to = <u32>load<u16>(receiveq.avail + 4 + (((received + i) & rxMask) << 1));
      const source = transmitq.buffers + from * transmitq.bufferBytes;
      const target = receiveq.buffers + to * receiveq.bufferBytes;
      store<u64>(target, 0);
      if (header == 12) store<u32>(target, 0x0001_0000, 8); // num_buffers
      v128.store(target + header, v128.load(source + header));
      v128.store(target + header, v128.load(source + header, 16), 16);
      const length = load<u32>(transmitq.desc + (from << 4), 8);
      store<u64>(receiveq.used + 4 + (((received + i) & rxMask) << 3), ((<u64>length) << 32) | to);
    }
    store<u64>(transmitq.used + 4 + (((sent + i) & txMask) << 3), from);
  }
  atomic.store<u16>(receiveq.used, <u16>(received + room), 2);
  atomic.store<u16>(transmitq.used, <u16>(sent + count), 2);
  return count;
}
