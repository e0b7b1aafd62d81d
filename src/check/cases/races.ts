// Descriptors, headers and tables that change while the device may be reading them. Who reads a field once, checks what it
// read and uses that is safe, whatever it saw; who reads it again has checked something else.

import { setTimeout as sleep } from "node:timers/promises";
import { VIRTIO_F_INDIRECT_DESC, VIRTIO_F_VERSION_1, VIRTIO_NET_F_CSUM } from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import type { CheckCase } from "../case.js";
import { frame } from "../frames.js";
import type { CheckGuest } from "../guest.js";
import type { CheckRing } from "../ring.js";
import { tcpHeader } from "./bends.js";
import { goesOn } from "./descriptors.js";

const room = "descriptors";
const CLAUSE = "DPDK 285e6b8b18, CVE-2020-14374 to 14378: what lies in shared memory is read once";

const ROUNDS = 100;
const FRAMES = 8;
/** Of one round: each frame's field there and back so many times, while the device is at the frames. */
const CHANGES = 300;
/** Between rounds the device may give back what it took. */
const PAUSE_MS = 1;

/** Of a descriptor (virtio 1.3, 2.7.5): bytes, and where its fields are. */
const DESCRIPTOR_BYTES = 16;
const ADDRESS_HIGH = 4;
const LENGTH = 8;
const FLAGS = 12;
/** Of a virtio_net header (virtio 1.3, 5.1.6): csum_start and csum_offset. */
const CHECKSUM = 6;
const NEEDS_CSUM = 1;

interface Race {
  id: string;
  what: string;
  features?: readonly number[];
  how?: Parameters<CheckGuest["send"]>[1];
  bytes?: Uint8Array;
  /** Where 32 bits change, in the guest's memory: of descriptor `i`, which is the first or second of a frame's. */
  place(guest: CheckGuest, ring: CheckRing, i: number): number;
  becomes: number;
}

/** Offset of descriptor `i` of a split ring. */
function descriptor(guest: CheckGuest, ring: CheckRing, i: number): number {
  return guest.at(ring.place.desc) + i * DESCRIPTOR_BYTES;
}

/** Offset of the bytes that descriptor `i` refers to. */
function buffer(guest: CheckGuest, ring: CheckRing, i: number): number {
  return guest.at(guest.data.getBigUint64(descriptor(guest, ring, i), true));
}

const RACES: Race[] = [
  {
    id: "M13a",
    what: "lengths",
    place: (guest, ring, i) => descriptor(guest, ring, i) + LENGTH,
    becomes: 0xffff_f000,
  },
  {
    id: "M13b",
    what: "addresses",
    place: (guest, ring, i) => descriptor(guest, ring, i) + ADDRESS_HIGH,
    becomes: 0xdead,
  },
  {
    id: "M13c",
    what: "flags and next",
    place: (guest, ring, i) => descriptor(guest, ring, i) + FLAGS,
    becomes: 0xffff_0005,
  },
  {
    id: "M13d",
    what: "places of checksums in headers",
    features: [VIRTIO_NET_F_CSUM],
    how: { header: Uint8Array.of(NEEDS_CSUM, 0, 0, 0, 0, 0, 34, 0, 16, 0), cuts: [] },
    bytes: tcpHeader(),
    place: (guest, ring, i) => buffer(guest, ring, i) + CHECKSUM,
    becomes: 0xffff_ffff,
  },
  {
    id: "M13e",
    what: "lengths in indirect tables",
    features: [VIRTIO_F_INDIRECT_DESC],
    how: { indirect: true, cuts: [12, 20] },
    place: (guest, ring, i) => buffer(guest, ring, i) + DESCRIPTOR_BYTES + LENGTH,
    becomes: 0xffff_f000,
  },
];

/** Frames in rounds; in each a field of all of them goes there and back as fast as this process can. */
async function race(it: Race, a: CheckGuest, b: CheckGuest | undefined): Promise<string> {
  const ring = a.rings[1]!;
  let sent = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const before = sent;
    while (sent - before < FRAMES && a.send(it.bytes ?? frame(1, 2, 300, sent), it.how)) sent++;
    // Those that no frame has used yet refer to nothing.
    const used = Array.from({ length: ring.size }, (_, i) => i).filter(
      (i) => a.data.getBigUint64(descriptor(a, ring, i), true) !== 0n,
    );
    const places = used.map((i) => it.place(a, ring, i));
    const good = places.map((at) => a.data.getUint32(at, true));
    for (let i = 0; i < CHANGES; i++) {
      for (const at of places) a.data.setUint32(at, it.becomes, true);
      for (let n = 0; n < places.length; n++) a.data.setUint32(places[n]!, good[n]!, true);
    }
    await sleep(PAUSE_MS);
    b?.receive();
  }
  return `${sent} frames`;
}

export const RACE_CASES: CheckCase[] = RACES.map((it): CheckCase => {
  const { id, what, features = [] } = it;
  return {
    id,
    room,
    title: `transmitq: ${what} that change while they are read`,
    clause: CLAUSE,
    needs: { features },
    sockets: 1,
    run: async (bench) => {
      const options = { features: bits(VIRTIO_F_VERSION_1, ...features), size: 16 };
      const two = bench.sockets.target.sockets.length === 2;
      const [a, b] = two ? await bench.pair(options, {}) : [await bench.started(0, options), undefined];
      const said = await race(it, a, b);
      if (b) await goesOn(bench, a, b);
      return said;
    },
  };
});
