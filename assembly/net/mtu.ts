// What a receiver's MTU lets pass (virtio 1.3, 5.1.4.1): bytes behind the Ethernet header and up to two tags. A frame that
// is to be segmented is judged by its segments, whoever makes them: a receiver that can take it whole is told no lie of its
// network, and what another gets depends on nothing but its MTU.

import { Frame, Offload, Packet, Worker } from "../abi";
import { OFFLOAD_GSO } from "../spec/offload";
import { VIRTIO_NET_HDR_GSO_UDP } from "../spec/virtio";
import { ETHERNET_HEADER } from "./ethernet";
import { FRAGMENT_UNIT, IPV6_FRAGMENT_HEADER, linkHeader, readPacket } from "./packet";

/** Is frame `number` of the burst too long for a receiver with this MTU, in bytes? */
export function exceedsMtu(worker: Worker, number: u32, mtu: u32): bool {
  const frame = changetype<Frame>(worker.frameTable + number * offsetof<Frame>());
  if (frame.length <= ETHERNET_HEADER + mtu) return false;
  if (worker.offloaded & OFFLOAD_GSO) {
    const offload = changetype<Offload>(worker.offloadTable + number * offsetof<Offload>());
    if (offload.needs & OFFLOAD_GSO) return segmentBytes(worker, frame, offload) > mtu;
  }
  return frame.length - linkHeader(worker, frame) > mtu;
}

/** Bytes of the IP packet in the longest segment; of a frame whose headers are none any more those of the whole. */
function segmentBytes(worker: Worker, frame: Frame, offload: Offload): u32 {
  if (!readPacket(worker, frame)) return frame.length - ETHERNET_HEADER;
  const packet = changetype<Packet>(worker.packet);
  const size = <u32>(offload.fields >> 32) & 0xffff;
  if ((<u32>(offload.fields >> 8) & 0xff) != VIRTIO_NET_HDR_GSO_UDP) return packet.payload - packet.network + size;
  const headers = packet.unfragmentable - packet.network + (packet.version == 6 ? IPV6_FRAGMENT_HEADER : 0);
  return headers + (size & ~(FRAGMENT_UNIT - 1));
}
