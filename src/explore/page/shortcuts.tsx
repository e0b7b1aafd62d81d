// Keys. They are those of the machine that is on the page; in a field one types as ever. "?" shows them, and turns them off.

import { useEffect, useRef, useState } from "preact/hooks";
import { GRAINS, type Session, SPEEDS } from "./session.js";

const KEYS: readonly (readonly [string, string])[] = [
  ["→", "one step: whoever's turn it is"],
  ["←  Backspace", "one step back"],
  ["Home", "back to the start"],
  ["Space", "play, pause"],
  ["End", "to the end of what is playing or was taken back"],
  ["s", "step the switch"],
  ["a  b  c", "step the driver of guest a, b, c"],
  ["Shift with these", "a whole burst, a whole operation"],
  ["1 … 5", "how far a step goes: access, shared access, descriptor, frame, burst"],
  ["[  ]", "slower, faster"],
  ["↑  ↓", "in the list of events: the one before, the next"],
  ["?", "these keys"],
];

const KEPT = "ringbridge-keys";

export function Shortcuts({ session }: { session: Session | undefined }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [on, setOn] = useState(() => read() !== "off");
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.key === "?") dialog.current?.showModal();
      else if (!session || !on || dialog.current?.open || !perform(session, event)) return;
      event.preventDefault();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [session, on]);
  const toggle = () => {
    write(on ? "off" : "on");
    setOn(!on);
  };
  return (
    <>
      <button type="button" class="quiet" onClick={() => dialog.current?.showModal()} title="Keys (?)">
        <span aria-hidden="true">⌨</span>
        <span class="visually-hidden">Keys</span>
      </button>
      <dialog ref={dialog} class="keys" aria-label="Keys">
        <h2>Keys</h2>
        <table>
          <tbody>
            {KEYS.map(([key, text]) => (
              <tr key={key}>
                <th scope="row">
                  {key.split("  ").map((one) => (
                    <kbd key={one}>{one}</kbd>
                  ))}
                </th>
                <td>{text}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <label>
          <input type="checkbox" checked={on} onChange={toggle} /> keys without Ctrl are on
        </label>
        <p>
          <button type="button" class="primary" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </p>
      </dialog>
    </>
  );
}

/** Does what a key says; false when it says nothing here. */
function perform(session: Session, { key, shiftKey, target }: KeyboardEvent): boolean {
  const lower = key.toLowerCase();
  const guest = session.view.guests.find(({ name }) => name === lower);
  const grain = GRAINS[Number(key) - 1];
  const onButton = target instanceof HTMLElement && target.closest("button, a, summary, input, label");
  if (key === "ArrowRight") session.next();
  else if (key === "ArrowLeft" || key === "Backspace") session.back();
  else if (key === "Home") session.backToStart();
  else if (key === "End" && session.machine.ahead > 0) session.skip();
  else if (key === " ") {
    // On a button the space bar presses it.
    if (onButton) return false;
    if (session.playing) session.pause();
    else session.play();
  } else if (lower === "s") session.step("device", shiftKey);
  else if (guest) session.step(guest.number, shiftKey);
  else if (grain) session.set({ grain });
  else if (key === "[" || key === "]") session.set({ speed: nextSpeed(session.speed, key === "]" ? 1 : -1) });
  else return false;
  return true;
}

function nextSpeed(speed: Session["speed"], by: number): Session["speed"] {
  return SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(speed) + by))]!;
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches('textarea, select, input:not([type="checkbox"]), [contenteditable]');
}

function read(): string | null {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function write(value: string): void {
  try {
    localStorage.setItem(KEPT, value);
  } catch {
    // Then it lasts as long as the page.
  }
}
