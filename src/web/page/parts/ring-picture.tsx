// A ring as cells, one for each position: a letter and a fill say who has it. One position is shown in full.

import { useState } from "preact/hooks";
import type { EventAreaView, RingView } from "../../../core/ring-view.js";
import { type Cell, type CellState, cellsOf, positionText } from "../ring-cells.js";

const STATES: Record<CellState, { letter: string; words: string }> = {
  available: { letter: "A", words: "available, the switch has not taken it yet" },
  device: { letter: "S", words: "taken by the switch, not given back yet" },
  driver: { letter: "·", words: "with the guest's driver: free, or given back" },
};

export function RingPicture({ view, name }: { view: RingView; name: string }) {
  const [position, setPosition] = useState<number>();
  const { cells, counts, fault } = cellsOf(view);
  const device = view.kind === "split" ? view.device.nextAvail % view.size : view.device.position;
  const shown = position !== undefined && position < view.size ? position : device;
  const total = Math.max(1, cells.length);
  return (
    <>
      <p class="ring-facts">
        {view.kind === "split" ? "Split" : "Packed"} ring of {view.size}. {indices(view)}
      </p>
      <dl class="ring-counts">
        {(Object.keys(STATES) as CellState[]).map((state) => (
          <div key={state} class={`count-${state}`} title={STATES[state].words}>
            <dt>
              <span class={`cell cell-${state}`} aria-hidden="true">
                {STATES[state].letter}
              </span>{" "}
              {STATES[state].words.split(/[,:]/)[0]}
            </dt>
            <dd>{counts[state]}</dd>
          </div>
        ))}
      </dl>
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the field below chooses a position with the keyboard */}
      <div
        class={total > 64 ? "cells small" : "cells"}
        role="img"
        aria-label={
          `${name}: ${counts.available} positions available, ${counts.device} taken by the switch, ` +
          `${counts.driver} with the driver`
        }
        onClick={(event) => {
          const { position } = (event.target as HTMLElement).dataset;
          if (position !== undefined) setPosition(Number(position));
        }}
      >
        {cells.map((cell) => (
          <span
            key={cell.position}
            class={classOf(cell, cell.position === shown)}
            data-position={cell.position}
            title={`${cell.position}: ${STATES[cell.state].words}`}
          >
            {cell.marks.includes("device") ? "▶" : cell.marks.includes("driver") ? "▷" : STATES[cell.state].letter}
          </span>
        ))}
      </div>
      <p class="note">
        ▶ the switch looks here next{view.kind === "split" && ", ▷ the driver puts the next one here"}.
        {cells.length < view.size && ` Shown are ${cells.length} of ${view.size} positions, around the switch's place.`}
        {view.movedBy > 0 &&
          ` While this was read the switch went on by ${view.movedBy}: a snapshot of a ring at work.`}
      </p>
      {fault !== undefined && <p class="error">{fault}.</p>}
      <Position view={view} position={shown} follows={position === undefined} onPosition={setPosition} />
    </>
  );
}

interface PositionProps {
  view: RingView;
  position: number;
  follows: boolean;
  onPosition(position: number | undefined): void;
}

function Position({ view, position, follows, onPosition }: PositionProps) {
  const text = positionText(view, position);
  return (
    <div class="position">
      <div class="filters">
        <label>
          Position{" "}
          <input
            type="number"
            min={0}
            max={view.size - 1}
            value={position}
            onInput={(event) => onPosition(Number(event.currentTarget.value))}
          />
        </label>
        <button type="button" aria-pressed={follows} onClick={() => onPosition(undefined)}>
          Follow the switch
        </button>
      </div>
      {text === undefined ? (
        <p class="empty">This position is not in the part that is shown.</p>
      ) : (
        <>
          <p class="mono facts">
            {text.facts.map(([name, value]) => (
              <span key={name}>
                {name}: <b>{value}</b>
              </span>
            ))}
          </p>
          <table class="descriptors">
            <thead>
              <tr>
                <th scope="col" class="number">
                  desc
                </th>
                <th scope="col">address</th>
                <th scope="col" class="number">
                  length
                </th>
                <th scope="col">flags</th>
              </tr>
            </thead>
            <tbody>
              {text.chain.map(({ index, address, length, flags }) => (
                <tr key={index}>
                  <td class="number">{index}</td>
                  <td class="mono">{address}</td>
                  <td class="number">{length}</td>
                  <td>{flags}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </div>
  );
}

function classOf({ state, marks }: Cell, shown: boolean): string {
  const marked = marks.length > 0 ? ` cell-marked` : "";
  return `cell cell-${state}${marked}${shown ? " cell-shown" : ""}`;
}

function indices(view: RingView) {
  if (view.kind === "packed") {
    const { device, driverArea, deviceArea } = view;
    return (
      <>
        The switch is at {device.position}, wrap counter {device.wrap}. Driver's events: {area(driverArea)}; device's:{" "}
        {area(deviceArea)}.
      </>
    );
  }
  const { availIndex, usedIndex, device, availFlags, usedFlags, usedEvent, availEvent } = view;
  const wants = (flags: number) => (flags === 0 ? "wanted" : "not wanted");
  return (
    <>
      avail.idx <b>{availIndex}</b>, the switch has taken up to <b>{device.nextAvail}</b>, used.idx <b>{usedIndex}</b>.{" "}
      {usedEvent === undefined
        ? `Calls ${wants(availFlags)}, kicks ${wants(usedFlags)}.`
        : `A call wanted at used.idx ${usedEvent}, a kick at avail.idx ${availEvent}.`}
    </>
  );
}

function area({ flags, position, wrap }: EventAreaView): string {
  return ["always", "never", `at ${position}, wrap ${wrap}`][flags] ?? `reserved flags ${flags}`;
}
