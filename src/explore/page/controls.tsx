// The bar of controls: who steps next, how far, back, play, where playing stops. Everything here has a key (shortcuts.tsx).

import { BREAKPOINTS, type Breakpoint } from "./breakpoints.js";
import { GRAIN_TEXTS, GRAINS, type Grain, type Session, SPEEDS } from "./session.js";

export function Controls({ session }: { session: Session }) {
  const { machine, view, playing } = session;
  const atStart = machine.position === 0;
  const stuck =
    machine.ahead === 0 && !machine.canMove("device") && view.guests.every(({ number }) => !machine.canMove(number));
  return (
    <>
      <div class="controls" role="toolbar" aria-label="Steps">
        <button type="button" onClick={() => session.backToStart()} disabled={atStart} title="Back to the start (Home)">
          <span aria-hidden="true">|◀◀</span>
          <span class="visually-hidden">Back to the start</span>
        </button>
        <button
          type="button"
          onClick={() => session.back()}
          disabled={atStart}
          title="One step back (← or Backspace)"
          class="back"
        >
          <span aria-hidden="true">◀</span> Back
        </button>
        <button
          type="button"
          class="primary play"
          onClick={() => (playing ? session.pause() : session.play())}
          disabled={stuck && !playing}
          title={playing ? "Pause (space)" : "Play (space)"}
        >
          <span aria-hidden="true">{playing ? "❚❚" : "▶"}</span> {playing ? "Pause" : "Play"}
        </button>
        <button
          type="button"
          onClick={() => session.next()}
          disabled={stuck}
          title="One step: whoever's turn it is (→)"
          class="forward"
        >
          Step <span aria-hidden="true">▶|</span>
        </button>
        <button
          type="button"
          onClick={() => session.skip()}
          disabled={machine.ahead === 0}
          title="To the end of what is being played or was taken back (End)"
        >
          <span aria-hidden="true">▶▶|</span>
          <span class="visually-hidden">To the end</span>
        </button>
        <span class="group" role="group" aria-label="Who steps">
          {view.guests.map(({ number, name, next }) => (
            <button
              key={name}
              type="button"
              class="by-driver"
              onClick={() => session.step(number)}
              disabled={!machine.canMove(number)}
              title={`Step ${name}'s driver (${name})${next ? `: next ${next}` : ""}`}
            >
              driver {name.toUpperCase()}
            </button>
          ))}
          <button
            type="button"
            class="by-device"
            onClick={() => session.step("device")}
            disabled={!machine.canMove("device")}
            title="Step the switch (s)"
          >
            switch
          </button>
        </span>
      </div>
      <div class="controls-more">
        <label>
          <span class="label">Step is</span>
          <select
            value={session.grain}
            onChange={({ currentTarget }) => session.set({ grain: currentTarget.value as Grain })}
          >
            {GRAINS.map((grain) => (
              <option key={grain} value={grain}>
                {GRAIN_TEXTS[grain]}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span class="label">Speed</span>
          <select
            value={session.speed}
            onChange={({ currentTarget }) => session.set({ speed: Number(currentTarget.value) as Session["speed"] })}
          >
            {SPEEDS.map((speed) => (
              <option key={speed} value={speed}>
                {speed}/s
              </option>
            ))}
          </select>
        </label>
        <Breakpoints session={session} />
        <output class="position" aria-live="off">
          step {machine.position}
          {machine.ahead > 0 && <span class="note"> of {machine.position + machine.ahead}</span>}
        </output>
      </div>
      {stuck && !playing && <p class="note">Nothing moves: tell a guest to do something, or go back.</p>}
    </>
  );
}

function Breakpoints({ session }: { session: Session }) {
  const { breakpoints } = session;
  return (
    <details class="menu">
      <summary>Breakpoints{breakpoints.size > 0 ? ` (${breakpoints.size})` : ""}</summary>
      <div class="panel">
        <p class="note">Playing stops when</p>
        {Object.entries(BREAKPOINTS).map(([key, text]) => (
          <label key={key}>
            <input
              type="checkbox"
              checked={breakpoints.has(key as Breakpoint)}
              onChange={() => session.toggle(key as Breakpoint)}
            />{" "}
            {text}
          </label>
        ))}
      </div>
    </details>
  );
}

/** What happened last, in words, also for those who hear the page. */
export function Caption({ session }: { session: Session }) {
  const { current, stopped, playing, view } = session;
  const phase = view.device.phase === "asleep" ? "The switch sleeps." : "";
  return (
    <p class="caption" aria-live={playing ? "off" : "polite"}>
      {stopped && <strong>{stopped} </strong>}
      {!stopped &&
        (current ? (
          <span class={current.actor === "device" ? "by-device" : "by-driver"}>{current.text}</span>
        ) : (
          <span>Nothing has happened yet.</span>
        ))}{" "}
      <span class="note">{phase}</span>
    </p>
  );
}
