// What a machine is made of, as plain data: it goes into the URL with the moves (state.ts).

import type { Station } from "../../testing/frames/address.js";

/** A guest: its card, its rings, and what it gives to the switch before anything moves. */
export interface GuestSetup {
  /** Form of both its rings (virtio 1.3, 2.7 and 2.8). */
  ring: "split" | "packed";
  /** Entries of each ring: 2 to 64; a power of two where the ring is split. */
  size: number;
  /** VIRTIO_NET_F_MRG_RXBUF: a frame may lie in several receive buffers. */
  mergeable: boolean;
  /** VIRTIO_F_INDIRECT_DESC: a chain may be listed in a table of its own. */
  indirect: boolean;
  /** VIRTIO_F_EVENT_IDX: kicks and calls are asked for by index. */
  eventIdx: boolean;
  /** CSUM, HOST_TSO4, GUEST_CSUM, GUEST_TSO4: checksums and segmentation may be left to the other side. */
  offloads: boolean;
  /** Receive buffers that lie in the receiveq at the start, 0 to `size`, and the bytes of each: 32 to 4096. */
  rxBuffers: number;
  rxBufferBytes: number;
}

/** A switch and two or three guests, called a, b and c, before the first step. */
export interface Setup {
  /** What random moves are drawn from. */
  seed: number;
  guests: GuestSetup[];
  /** Guests whose addresses the switch knows already: numbers. */
  learned: number[];
  /** Whether the switch's worker polls when it begins, or sleeps and has asked for kicks. */
  device: "polling" | "asleep";
}

export const GUEST_NAMES = ["a", "b", "c"] as const;
export const SIZE_MAX = 64;
const BUFFER_LEAST = 32;
const BUFFER_MOST = 4096;

/** A guest as most lessons have it: split, 8 entries, four receive buffers of 256 bytes. */
export const PLAIN_GUEST: GuestSetup = {
  ring: "split",
  size: 8,
  mergeable: false,
  indirect: false,
  eventIdx: false,
  offloads: false,
  rxBuffers: 4,
  rxBufferBytes: 256,
};

/** Whatever is left out is as in `PLAIN_GUEST`; two guests, no address known, the switch asleep. */
export interface SetupOptions extends Partial<Omit<Setup, "guests">> {
  guests?: readonly Partial<GuestSetup>[];
}

/** A whole setup. Throws as `checkSetup` does. */
export function makeSetup({ guests = [{}, {}], ...options }: SetupOptions = {}): Setup {
  const whole = guests.map((guest) => {
    const rxBuffers = Math.min(PLAIN_GUEST.rxBuffers, guest.size ?? PLAIN_GUEST.size);
    return { ...PLAIN_GUEST, rxBuffers, ...guest };
  });
  return checkSetup({ seed: 1, learned: [], device: "asleep", ...options, guests: whole });
}

/** The setup itself when a machine can be made of it. Throws an Error that says what is wrong where. */
export function checkSetup(setup: Setup): Setup {
  const { seed, guests, learned, device } = setup;
  need(isWithin(seed, 0, 0xffffffff), `seed is ${seed}: it must be a whole number below 2^32`);
  need(guests.length >= 2 && guests.length <= 3, `${guests.length} guests: there must be two or three`);
  need(device === "polling" || device === "asleep", `device is ${device}: it must be polling or asleep`);
  for (const [i, guest] of guests.entries()) checkGuest(`guest ${GUEST_NAMES[i]}`, guest);
  for (const number of learned)
    need(isWithin(number, 0, guests.length - 1), `learned names guest ${number}: there is none`);
  return setup;
}

function checkGuest(name: string, guest: GuestSetup): void {
  const { ring, size, rxBuffers, rxBufferBytes } = guest;
  need(ring === "split" || ring === "packed", `${name}: ring is ${ring}, it must be split or packed`);
  need(isWithin(size, 2, SIZE_MAX), `${name}: a ring of ${size} entries, it must have 2 to ${SIZE_MAX}`);
  need(ring === "packed" || (size & (size - 1)) === 0, `${name}: a split ring has a power of two entries, not ${size}`);
  need(isWithin(rxBuffers, 0, size), `${name}: ${rxBuffers} receive buffers in a ring of ${size}`);
  const most = `${BUFFER_LEAST} to ${BUFFER_MOST} bytes`;
  need(
    isWithin(rxBufferBytes, BUFFER_LEAST, BUFFER_MOST),
    `${name}: rxBufferBytes is ${rxBufferBytes}, it must be ${most}`,
  );
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

function need(good: boolean, message: string): void {
  if (!good) throw new Error(message);
}

/** The addresses of a guest: 02:00:00:00:00:0a and 10.0.0.1 are those of guest 0. */
export function stationOf(guest: number): Station {
  return { mac: `02:00:00:00:00:0${(10 + guest).toString(16)}`, ip4: `10.0.0.${guest + 1}`, ip6: `fd00::${guest + 1}` };
}
