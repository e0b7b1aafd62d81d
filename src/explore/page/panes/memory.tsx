// Bytes of linear memory in hex, by areas: a queue's ring, a buffer, the switch's own struct of a queue. It follows the step in hand
// until another area is chosen.

import { useState } from "preact/hooks";
import type { Event, Place, View } from "../../machine/index.js";
import { bytesAt } from "../lit.js";
import type { Session } from "../session.js";

interface Area {
  name: string;
  start: number;
  end: number;
}

const ROWS_MOST = 48;
const WIDTH = 16;

export function Memory({ session }: { session: Session }) {
  const [chosen, setChosen] = useState<string>("");
  const areas = areasOf(session);
  const { current } = session;
  const area = areas.find(({ name }) => name === chosen) ?? followed(areas, current) ?? areas[0]!;
  return (
    <section class="pane memory" aria-label="Memory">
      <header>
        <h3>Memory</h3>
        <label class="note">
          <span class="visually-hidden">Area of memory</span>
          <select value={chosen} onChange={({ currentTarget }) => setChosen(currentTarget.value)}>
            <option value="">follow ({area.name})</option>
            {areas.map(({ name }) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </header>
      <Bytes {...{ session, area, current }} />
    </section>
  );
}

function Bytes({ session, area, current }: { session: Session; area: Area; current: Event | undefined }) {
  const { memory } = session.machine;
  const first = area.start & ~(WIDTH - 1);
  const rows = Math.min(ROWS_MOST, Math.ceil((area.end - first) / WIDTH));
  const guest = session.view.guests.find(({ window, bytes }) => area.start >= window && area.start < window + bytes);
  const shown = (offset: number) => (guest ? offset - guest.window + guest.base : offset).toString(16).padStart(8, "0");
  return (
    <div class="hex mono" tabIndex={0} role="group" aria-label={`Bytes of ${area.name}`}>
      <p class="note">
        {guest ? `guest physical addresses of ${guest.name}` : "offsets in linear memory: the switch's own"}
      </p>
      {Array.from({ length: rows }, (_, row) => {
        const at = first + row * WIDTH;
        return (
          <div key={at} class="hex-row">
            <span class="hex-address">{shown(at)}</span>
            {fieldsOf(session, at, area).map((piece) => (
              <Piece key={piece.address} {...{ piece, memory, current }} />
            ))}
          </div>
        );
      })}
    </div>
  );
}

interface PieceOfRow extends Pick<Place, "name" | "address" | "length"> {
  /** Another field than the one before, so it looks otherwise. */
  odd: boolean;
}

function Piece({ piece, memory, current }: { piece: PieceOfRow; memory: Uint8Array; current: Event | undefined }) {
  const { name, address, length, odd } = piece;
  const bytes = Array.from(memory.subarray(address, address + length), (byte) => byte.toString(16).padStart(2, "0"));
  const touch = touchOf(current, piece);
  return (
    <span class={`piece ${odd ? "is-odd" : ""} ${touch}`} data-at={bytesAt(piece)} title={name}>
      {bytes.join(" ")}
    </span>
  );
}

function touchOf(event: Event | undefined, { address, length }: PieceOfRow): string {
  if (!event || event.length === 0) return "";
  const hits = (start: number) => start < address + length && address < start + event.length;
  if (hits(event.address)) return event.after ? "is-written" : "is-read";
  return event.from.some((place) => hits(place.address)) ? "is-read" : "";
}

/** The fields of one row, cut where the row ends. */
function fieldsOf({ machine }: Session, start: number, area: Area): PieceOfRow[] {
  const end = Math.min(start + WIDTH, area.end);
  const pieces: PieceOfRow[] = [];
  for (let at = Math.max(start, area.start); at < end; ) {
    const place = machine.place(at);
    // A buffer is one place: what lies in it is cut by the bytes of the headers.
    const stop = place.kind === "buffer" ? bufferStop(at - place.address, place) : place.address + place.length;
    const next = Math.min(end, Math.max(at + 1, stop));
    pieces.push({ name: place.name, address: at, length: next - at, odd: parity(place, at) });
    at = next;
  }
  return pieces;
}

/** Where virtio_net_hdr (12 bytes), the addresses of the frame and its type end. */
const BUFFER_PARTS = [12, 18, 24, 26];

function bufferStop(offset: number, place: Place): number {
  const end = BUFFER_PARTS.find((part) => part > offset);
  return place.address + Math.min(end ?? place.length, place.length);
}

function parity(place: Place, at: number): boolean {
  if (place.kind === "buffer") return BUFFER_PARTS.filter((part) => part <= at - place.address).length % 2 === 1;
  return place.length > 0 && ((place.address / place.length) & 1) === 1;
}

function followed(areas: readonly Area[], event: Event | undefined): Area | undefined {
  if (!event || event.length === 0) return undefined;
  return areas.find(({ start, end }) => event.address >= start && event.address < end);
}

function areasOf({ view, machine }: Session): Area[] {
  const areas: Area[] = [];
  for (const guest of view.guests) {
    for (const queue of [guest.transmitq, guest.receiveq]) areas.push(ringArea(queue));
    for (const { place } of [...guest.tx, ...guest.rx]) {
      areas.push({ name: place.name, start: place.address, end: place.address + place.length });
    }
    if (guest.setup.indirect) areas.push(...tableAreas(machine, guest.name));
  }
  for (const guest of view.guests) {
    for (const { name, device } of [guest.transmitq, guest.receiveq]) {
      const near = device.nextAvail.place.address;
      areas.push({ name: `core.${name}`, ...structAround(machine, near) });
    }
  }
  return areas;
}

type QueueView = View["guests"][number]["transmitq"];

function ringArea({ name, split, packed }: QueueView): Area {
  const fields = split
    ? [split.descriptors[0]!.addr, split.used.availEvent]
    : [packed!.descriptors[0]!.addr, packed!.deviceEvent.flags];
  const [first, last] = fields.map(({ place }) => place);
  return { name, start: first!.address, end: last!.address + last!.length };
}

function tableAreas(machine: Session["machine"], guest: string): Area[] {
  const first = machine.placeNamed(`${guest}.table[0][0].addr`);
  return first ? [{ name: `${guest}.table[0]`, start: first.address, end: first.address + 128 }] : [];
}

/** All fields of the struct that an offset is in. */
function structAround(machine: Session["machine"], near: number): { start: number; end: number } {
  const prefix = (at: number) => machine.place(at).name.replace(/\.[^.]*(\.[^.]*)?$/, "");
  const { name } = machine.place(near);
  const stem = name.slice(0, name.lastIndexOf("."));
  const inside = (at: number) => machine.place(at).name.startsWith(`${stem}.`) || prefix(at) === stem;
  let start = near;
  while (inside(start - 1)) start--;
  let end = near;
  while (inside(end)) end++;
  return { start, end };
}
