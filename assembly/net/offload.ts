// What a driver asks of the switch with a frame (virtio 1.3, 5.1.6.2), checked before anything is done with it.
//
// A frame that passes has header fields of our own in its Offload, for a receiver that can do itself what is asked for,
// and what that takes. Flags and types that were not negotiated never get that far.

import { Frame, Offload, Packet, Queue, Worker } from "../abi";
import { countDrop } from "../bridge/stats";
import { noteDrop } from "../capture";
import {
  OFFLOAD_CSUM,
  OFFLOAD_ECN,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_UFO,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
} from "../spec/offload";
import { DROP_TX_OFFLOAD } from "../spec/status";
import {
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VIRTIO_NET_HDR_GSO_UDP,
  VIRTIO_NET_HDR_GSO_UDP_L4,
} from "../spec/virtio";
import { ETHERNET_HEADER } from "./ethernet";
import { FRAGMENT_UNIT, IPPROTO_TCP, IPPROTO_UDP, readPacket } from "./packet";

/**
 * The virtio_net headers of a burst from a transmitq whose driver may ask for offloads. Each is read once; a frame whose
 * header makes no sense for it is dropped and counted. Returns the OFFLOAD_* that its frames need in all.
 */
export function readOffloads(worker: Worker, queue: Queue, count: u32): u32 {
  let at: usize = worker.frameTable;
  let entry: usize = worker.offloadTable;
  const apart = worker.headersApart;
  const size = queue.headerSize;
  let needs: u32 = 0;
  for (let i: u32 = 0; i < count; ++i, at += offsetof<Frame>(), entry += offsetof<Offload>()) {
    const frame = changetype<Frame>(at);
    const offload = changetype<Offload>(entry);
    if (frame.length == 0) continue;
    const header: usize = (apart >> i) & 1 ? offload.place : frame.at - size;
    const asked = load<u64>(header);
    const checksumOffset = <u32>load<u16>(header, 8);
    offload.fields = 0;
    offload.checksumOffset = 0;
    offload.needs = 0;
    // Flags and gso_type both 0, as most are.
    if (!(asked & 0xffff)) continue;
    if (!check(worker, queue.offloads, frame, offload, asked, checksumOffset)) {
      countDrop(queue, DROP_TX_OFFLOAD, 1);
      noteDrop(worker, i, DROP_TX_OFFLOAD);
      frame.length = 0;
    }
    needs |= offload.needs;
  }
  return needs;
}

/** Fills `offload` in from header fields as the guest wrote them. False: they make no sense, or were not negotiated. */
function check(worker: Worker, allowed: u32, frame: Frame, offload: Offload, asked: u64, checksumOffset: u32): bool {
  const gso = <u32>(asked >> 8) & 0xff;
  if (!(<u32>asked & VIRTIO_NET_HDR_F_NEEDS_CSUM)) return gso == VIRTIO_NET_HDR_GSO_NONE;
  if (!(allowed & OFFLOAD_CSUM)) return false;
  const start = <u32>(asked >> 48);
  if (start < ETHERNET_HEADER || start + checksumOffset + 2 > frame.length) return false;
  let needs: u32 = OFFLOAD_CSUM;
  let rest: u64 = 0; // gso_type, hdr_len and gso_size, where they belong
  if (gso != VIRTIO_NET_HDR_GSO_NONE) {
    const size = <u32>(asked >> 32) & 0xffff;
    if (size == 0 || !readPacket(worker, frame)) return false;
    const packet = changetype<Packet>(worker.packet);
    const ability = abilityFor(packet, gso);
    if (ability == 0 || start != packet.transport || checksumOffset != packet.checksumOffset) return false;
    if (ability & ~allowed) return false;
    const ufo = gso == VIRTIO_NET_HDR_GSO_UDP;
    if (ufo && size < FRAGMENT_UNIT) return false;
    // What fits one segment is an ordinary frame, however it was called.
    if (frame.length - (ufo ? packet.unfragmentable : packet.payload) > size) {
      needs |= ability;
      rest = ((<u64>gso) << 8) | ((<u64>packet.payload) << 16) | ((<u64>size) << 32);
    }
  }
  offload.fields = rest | VIRTIO_NET_HDR_F_NEEDS_CSUM | ((<u64>start) << 48);
  offload.checksumOffset = checksumOffset;
  offload.needs = needs;
  return true;
}

/** The abilities that a gso_type stands for with this packet, 0 when they do not go together. */
export function abilityFor(packet: Packet, gso: u32): u32 {
  const v4 = packet.version == 4;
  const tcp = packet.protocol == IPPROTO_TCP;
  const type = gso & ~VIRTIO_NET_HDR_GSO_ECN;
  const ecn = gso & VIRTIO_NET_HDR_GSO_ECN ? <u32>OFFLOAD_ECN : 0;
  if (type == VIRTIO_NET_HDR_GSO_TCPV4) return tcp && v4 ? OFFLOAD_TSO4 | ecn : 0;
  if (type == VIRTIO_NET_HDR_GSO_TCPV6) return tcp && !v4 ? OFFLOAD_TSO6 | ecn : 0;
  if (packet.protocol != IPPROTO_UDP || ecn != 0) return 0;
  if (type == VIRTIO_NET_HDR_GSO_UDP) return OFFLOAD_UFO;
  if (type == VIRTIO_NET_HDR_GSO_UDP_L4) return v4 ? OFFLOAD_USO4 : OFFLOAD_USO6;
  return 0;
}
