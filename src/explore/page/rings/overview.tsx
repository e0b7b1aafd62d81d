// The whole machine in one picture: guests with their two rings, the switch between them with what it has learned. A ring is a row of
// boxes, one for each descriptor, with the letter of its state.

import type { DescriptorState, Event, GuestView, QueueView, View } from "../../machine/index.js";
import { bytesAt } from "../lit.js";
import { Picture, STATE_LETTERS } from "./parts.js";
import { useWidth } from "./ring.js";

const BOX = 20;
const GUEST_HEIGHT = 104;
const GAP = 12;

export function Overview({ view, current }: { view: View; current: Event | undefined }) {
  const { place, width } = useWidth();
  return (
    <figure class="overview ring-figure" ref={place} aria-label="Guests and switch">
      {width > 0 && (width >= 560 ? <Wide {...{ view, current, width }} /> : <Tall {...{ view, current, width }} />)}
    </figure>
  );
}

interface DrawProps {
  view: View;
  current: Event | undefined;
  width: number;
}

/** Guests left, switch right. */
function Wide({ view, current, width }: DrawProps) {
  const height = view.guests.length * (GUEST_HEIGHT + GAP) - GAP;
  const switchWidth = 210;
  const guestWidth = width - switchWidth - 70;
  const middles = view.guests.map((_, i) => i * (GUEST_HEIGHT + GAP) + GUEST_HEIGHT / 2);
  return (
    <Picture width={width} height={height + 4} label={describe(view)}>
      {view.guests.map((guest, i) => (
        <Guest key={guest.name} {...{ guest, current }} x={1} y={i * (GUEST_HEIGHT + GAP) + 1} width={guestWidth} />
      ))}
      {view.guests.map((guest, i) => (
        <Wire key={guest.name} {...{ guest, current }} x={guestWidth + 1} y={middles[i]!} length={68} />
      ))}
      <Switch {...{ view, current }} x={width - switchWidth - 1} y={1} width={switchWidth} height={height} />
    </Picture>
  );
}

/** Guests above, switch below. */
function Tall({ view, current, width }: DrawProps) {
  const below = view.guests.length * (GUEST_HEIGHT + GAP);
  const switchHeight = 60 + view.guests.length * 18;
  const height = below + switchHeight + 4;
  return (
    <Picture width={width} height={height} label={describe(view)}>
      {view.guests.map((guest, i) => (
        <Guest key={guest.name} {...{ guest, current }} x={1} y={i * (GUEST_HEIGHT + GAP) + 1} width={width - 2} />
      ))}
      <Switch {...{ view, current }} x={1} y={below} width={width - 2} height={switchHeight} />
    </Picture>
  );
}

function Guest({
  guest,
  current,
  x,
  y,
  width,
}: {
  guest: GuestView;
  current: Event | undefined;
  x: number;
  y: number;
  width: number;
}) {
  const { name, number, setup, sent, received, kicked, called, operation } = guest;
  const active = current?.actor === number;
  const calls = called.receiveq || called.transmitq;
  return (
    <g class={`box guest ${active ? "is-active" : ""}`}>
      <rect x={x} y={y} width={width} height={GUEST_HEIGHT} rx={6} />
      <text class="name" x={x + 12} y={y + 22}>
        {`guest ${name}`}
      </text>
      <text class="small" x={x + 84} y={y + 22}>
        {`${setup.ring} · sent ${sent} · received ${received.length}`}
      </text>
      <MiniRing label="transmitq" queue={guest.transmitq} x={x + 12} y={y + 32} width={width - 24} />
      <MiniRing label="receiveq" queue={guest.receiveq} x={x + 12} y={y + 56} width={width - 24} />
      <text class="small" x={x + 12} y={y + 94}>
        {[operation && `driver is to ${operation}`, kicked && "kick waits", calls && "call waits"]
          .filter(Boolean)
          .join(" · ") || "driver rests"}
      </text>
    </g>
  );
}

function MiniRing({
  label,
  queue,
  x,
  y,
  width,
}: {
  label: string;
  queue: QueueView;
  x: number;
  y: number;
  width: number;
}) {
  const rows = (queue.split ?? queue.packed)!.descriptors;
  const room = Math.floor((width - 78) / BOX);
  return (
    <g>
      <text class="small" x={x} y={y + 15}>
        {label}
      </text>
      {rows.slice(0, room).map((row, i) => (
        <g
          key={row.index}
          class={`state state-${row.state as DescriptorState}`}
          data-at={bytesAt({ address: row.addr.place.address, length: 16 })}
        >
          <title>{`${queue.name}.desc[${row.index}]: ${row.state}`}</title>
          <rect x={x + 78 + i * BOX} y={y} width={BOX - 2} height={BOX} />
          {row.state === "written" && (
            <rect class="dash" x={x + 80 + i * BOX} y={y + 2} width={BOX - 6} height={BOX - 4} />
          )}
          <text x={x + 78 + i * BOX + BOX / 2 - 1} y={y + 14} text-anchor="middle">
            {row.state === "free" ? "" : STATE_LETTERS[row.state]}
          </text>
        </g>
      ))}
      {queue.status.stopped && (
        <text class="bad-text" x={x + 84 + Math.min(room, rows.length) * BOX} y={y + 15}>
          ✕
        </text>
      )}
    </g>
  );
}

/** Between a guest and the switch: what they say to each other without memory. */
function Wire({
  guest,
  current,
  x,
  y,
  length,
}: {
  guest: GuestView;
  current: Event | undefined;
  x: number;
  y: number;
  length: number;
}) {
  const kick = current?.what === "kick" && current.actor === guest.number;
  const call = current?.what === "call" && current.places[0]?.guest === guest.number;
  const end = x + length;
  return (
    <g class={`wire ${kick || call ? "is-active" : ""}`}>
      <path d={`M${x} ${y} H${end}`} />
      {kick && <path class="head" d={`M${end} ${y} l-9 -5 v10 z`} />}
      {call && <path class="head" d={`M${x} ${y} l9 -5 v10 z`} />}
      {(kick || call) && (
        <text x={x + length / 2} y={y - 8} text-anchor="middle">
          {kick ? "kick" : "call"}
        </text>
      )}
    </g>
  );
}

function Switch({
  view,
  current,
  x,
  y,
  width,
  height,
}: {
  view: View;
  current: Event | undefined;
  x: number;
  y: number;
  width: number;
  height: number;
}) {
  const { device, fdb, guests } = view;
  const PHASES: Record<string, string> = {
    poll: "polls the rings",
    arm: "asks for kicks",
    disarm: "wants no kicks",
    calls: "calls",
    asleep: "sleeps (z z)",
  };
  return (
    <g class={`box switch ${current?.actor === "device" ? "is-active" : ""}`}>
      <rect x={x} y={y} width={width} height={height} rx={6} />
      <text class="name" x={x + 12} y={y + 22}>
        switch
      </text>
      <text class="small" x={x + 70} y={y + 22}>
        {PHASES[device.phase] ?? device.phase}
      </text>
      <text class="small" x={x + 12} y={y + 46}>
        {fdb.length === 0 ? "has learned no address" : "has learned:"}
      </text>
      {fdb.map(({ mac, guest, place }, i) => (
        <g key={mac} class="cell plain" data-at={bytesAt({ address: place.address, length: 16 })}>
          <rect x={x + 8} y={y + 52 + i * 18} width={width - 16} height={18} />
          <text x={x + 12} y={y + 65 + i * 18}>
            {`${mac.slice(-5)} → ${guests[guest]?.name ?? guest}`}
          </text>
        </g>
      ))}
    </g>
  );
}

function describe({ guests, device, fdb }: View): string {
  const each = guests.map(
    ({ name, sent, received }) => `guest ${name} has sent ${sent} frames and received ${received.length}`,
  );
  return `${each.join("; ")}; the switch is at ${device.phase} and knows ${fdb.length} addresses.`;
}
