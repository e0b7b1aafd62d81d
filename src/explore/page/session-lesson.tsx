// The lesson on vhost-user: messages between a front-end and the switch, one by one, and what the switch has mapped by then.

import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import type { SessionLesson } from "../lessons/lesson.js";
import { type Exchange, SESSION_MISTAKES, type SessionMistake, SessionSteps } from "../machine/session/index.js";
import { LessonFrame } from "./lesson-frame.js";
import { Prose } from "./parts/prose.js";
import { markDone } from "./progress.js";
import { SessionPicture } from "./rings/session-picture.js";

const MISTAKES: Record<SessionMistake, string> = {
  none: "none",
  "no-descriptor": "memory without its descriptor",
  overlap: "two regions at one address",
  "ring-outside": "a ring where no memory is",
  misaligned: "a descriptor table at an odd address",
  short: "a message with bytes missing",
};

export function SessionLessonPage({ lesson, first }: { lesson: SessionLesson; first: number }) {
  const last = lesson.beats.length;
  const [beat, setBeat] = useState(Math.min(first, last));
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const steps = useRef(new SessionSteps(lesson.session));
  const refused = useRef(new Map<SessionMistake, string>());
  const set = (next: SessionSteps) => {
    steps.current = next;
    note(next, refused.current);
    if (refused.current.size >= lesson.exercise.wanted) markDone(lesson.id);
    redraw(0);
  };
  const show = (until: string) => set(playUntil(new SessionSteps(lesson.session), until));
  const done = refused.current.size >= lesson.exercise.wanted;
  const solve = () => {
    for (const mistake of SESSION_MISTAKES.slice(1, lesson.exercise.wanted + 1)) {
      set(playUntil(new SessionSteps({ ...lesson.session, mistake }), "refusal"));
    }
  };
  const stage = <Stepper {...{ set }} steps={steps.current} exercise={beat >= last} />;
  const exercise = (
    <section class="exercise" aria-label="Exercise">
      <h2>Your turn</h2>
      <Prose text={lesson.exercise.text} />
      <p class={done ? "verdict is-done" : "verdict"} role="status">
        {done ? "✓ Done. " : "Not yet: "}
        {refused.current.size} of {lesson.exercise.wanted} mistakes refused
        {[...refused.current].map(([mistake, cost]) => (
          <span key={mistake} class="refusal">
            {MISTAKES[mistake]}: {cost}
          </span>
        ))}
      </p>
      <button type="button" class="quiet" onClick={solve}>
        Show a way to do it
      </button>
    </section>
  );
  const showOf = (number: number) => () => show(lesson.beats[number]!.until);
  return <LessonFrame {...{ lesson, beat, stage, exercise }} show={showOf} onDone={() => setBeat(beat + 1)} />;
}

/** Remembers what a mistake has cost. */
function note({ exchanges, options }: SessionSteps, refused: Map<SessionMistake, string>): void {
  const last = exchanges.find((exchange) => exchange.refused !== undefined);
  if (last && options.mistake !== "none") refused.set(options.mistake, last.closed ? "the connection" : "one message");
}

/** Steps to a message: "SET_FEATURES", "second ADD_MEM_REG", "refusal", "end". */
function playUntil(steps: SessionSteps, until: string): SessionSteps {
  const [name, wanted] = until.startsWith("second ") ? [until.slice(7), 2] : [until, 1];
  let seen = 0;
  for (let exchange = steps.step(); exchange; exchange = steps.step()) {
    if (exchange.name === name && ++seen === wanted) break;
    if (until === "refusal" && exchange.refused !== undefined) break;
  }
  return steps;
}

function Stepper({ steps, set, exercise }: { steps: SessionSteps; set(steps: SessionSteps): void; exercise: boolean }) {
  const { exchanges, options, nextName } = steps;
  const [looked, setLooked] = useState<number>();
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    list.current?.scrollTo(0, list.current.scrollHeight);
  }, [exchanges.length]);
  const current = exchanges[(looked ?? exchanges.length) - 1] ?? exchanges.at(-1);
  const go = (next: SessionSteps) => {
    setLooked(undefined);
    set(next);
  };
  const step = () => {
    steps.step();
    go(steps);
  };
  return (
    <div class="stage-column">
      <section class="stage" aria-label="The session">
        <SessionPicture view={steps.view()} />
        <div class="controls" role="toolbar" aria-label="Messages">
          <button type="button" disabled={exchanges.length === 0} onClick={() => go(steps.at(exchanges.length - 1))}>
            ◀ Back
          </button>
          <button type="button" class="primary" disabled={nextName === undefined} onClick={step}>
            {nextName === undefined ? "No more messages" : `Next: ${nextName}`}
          </button>
          {exercise && (
            <label>
              <span class="label">Mistake</span>
              <select
                value={options.mistake}
                onChange={({ currentTarget }) =>
                  go(new SessionSteps({ ...options, mistake: currentTarget.value as SessionMistake }))
                }
              >
                {SESSION_MISTAKES.map((mistake) => (
                  <option key={mistake} value={mistake}>
                    {MISTAKES[mistake]}
                  </option>
                ))}
              </select>
            </label>
          )}
          <output class="position">message {exchanges.length}</output>
        </div>
        <div class="panes">
          <section class="pane events" aria-label="Messages">
            <header>
              <h3>Messages</h3>
            </header>
            <ol ref={list}>
              {exchanges.length === 0 && <li class="note">QEMU has connected. Nothing was said yet.</li>}
              {exchanges.map((exchange) => (
                <Line key={exchange.number} {...{ exchange }} current={exchange === current} onLook={setLooked} />
              ))}
            </ol>
          </section>
          {current && <Message exchange={current} />}
        </div>
      </section>
    </div>
  );
}

interface LineProps {
  exchange: Exchange;
  current: boolean;
  onLook(number: number): void;
}

function Line({ exchange, current, onLook }: LineProps) {
  const { number, name, fds, effects, reply, refused } = exchange;
  return (
    <li class="by-driver">
      <button type="button" aria-current={current ? "step" : undefined} onClick={() => onLook(number)}>
        <span class="who">Q</span>
        <span class="number">{number}</span>
        <span>
          <strong>{name}</strong>
          {fds.map(({ fd, text }) => ` + ${text} (${fd})`).join("")}
          {reply && " ↩ reply"}
          {effects.length > 0 && <em> – the switch {effects.join("; ")}</em>}
          {refused !== undefined && <em class="refusal">✕ {refused}</em>}
        </span>
      </button>
    </li>
  );
}

/** The bytes of a message, field by field. */
function Message({ exchange: { name, bytes, fields, reply } }: { exchange: Exchange }) {
  return (
    <section class="pane" aria-label="Message">
      <header>
        <h3>{name}</h3>
        <span class="note">{bytes.length} bytes</span>
      </header>
      {/* Scrolls, so the keyboard must reach it. */}
      <div class="structs mono" tabIndex={0} role="group" aria-label={`Fields of ${name}`}>
        <Fields bytes={bytes} fields={fields} title="QEMU to the switch" />
        {reply && <Fields bytes={reply.bytes} fields={reply.fields} title="the switch's reply" />}
      </div>
    </section>
  );
}

function Fields({ bytes, fields, title }: Pick<Exchange, "bytes" | "fields"> & { title: string }) {
  const hex = (offset: number, length: number) =>
    Array.from(bytes.subarray(offset, offset + length), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return (
    <table>
      <caption>{title}</caption>
      <tbody>
        {fields.map(({ name, offset, length, text }) => (
          <tr key={offset}>
            <th scope="row">{name}</th>
            <td>
              {hex(offset, length)}
              <br />
              {text.replaceAll("VHOST_USER_PROTOCOL_F_", "").replaceAll("VIRTIO_", "")}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
