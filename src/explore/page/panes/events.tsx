// What has happened so far, a line for each step, the last one below. The line that one is on shows its source and its bytes.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Event } from "../../machine/index.js";
import { bytesAt } from "../lit.js";
import { isVisible, type Session } from "../session.js";

const SHOWN = 300;

export function Events({ session }: { session: Session }) {
  const [all, setAll] = useState(false);
  const list = useRef<HTMLOListElement>(null);
  const shown = session.events.filter((event) => all || isVisible(event)).slice(-SHOWN);
  const { position } = session.machine;
  useEffect(() => {
    const { current } = list;
    if (current) current.scrollTop = current.scrollHeight;
  }, [position, all]);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = shown.findIndex(({ number }) => number === session.current?.number);
    const next = shown[Math.max(0, Math.min(shown.length - 1, at + step))];
    if (!next) return;
    session.look(next.number);
    list.current?.querySelector<HTMLElement>(`[data-event="${next.number}"]`)?.focus();
  };
  return (
    <section class="pane events" aria-label="Events">
      <header>
        <h3>Events</h3>
        <label class="note">
          <input type="checkbox" checked={all} onChange={() => setAll(!all)} /> the switch's own memory too
        </label>
      </header>
      <ol ref={list} onKeyDown={move}>
        {shown.length === 0 && <li class="note">Nothing has happened yet.</li>}
        {shown.map((event) => (
          <Line key={event.number} {...{ event, session }} />
        ))}
      </ol>
    </section>
  );
}

function Line({ event, session }: { event: Event; session: Session }) {
  const { number, actor, actorName, text, places, from, notes } = event;
  const current = session.current?.number === number;
  const said = notes.flatMap((note) => {
    if (note.note === "drop") return [`dropped: ${note.explanation}`];
    if (note.note === "stopped") return [`queue stopped: ${note.reason}`];
    if (note.note === "learned" || note.note === "moved" || note.note === "forgotten")
      return [`${note.note} ${note.mac}`];
    if (note.note === "asleep") return ["the switch sleeps"];
    if (note.note === "operation") return [`${actorName} ${note.result}`];
    return [];
  });
  return (
    <li class={actor === "device" ? "by-device" : "by-driver"}>
      <button
        type="button"
        data-event={number}
        data-at={bytesAt(...places, ...from) || undefined}
        tabIndex={current ? 0 : -1}
        aria-current={current ? "step" : undefined}
        onClick={() => session.look(number)}
        onPointerEnter={() => session.look(number)}
        onPointerLeave={() => session.look(undefined)}
      >
        <span class="who">{actor === "device" ? "S" : actorName.toUpperCase()}</span>
        <span class="number">{number}</span>
        <span>
          {text}
          {said.length > 0 && <em> – {said.join("; ")}</em>}
        </span>
      </button>
    </li>
  );
}
