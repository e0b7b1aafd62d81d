// A lesson: its pieces one after the other, each asking before it shows, then the exercise. The machine stands beside the text, or
// on a phone below the piece that it belongs to.

import { useEffect, useId, useReducer, useState } from "preact/hooks";
import { LESSONS } from "../lessons/index.js";
import type { Beat, Lesson } from "../lessons/lesson.js";
import { decodeState, encodeState, makeSetup } from "../machine/index.js";
import { Compare } from "./compare.js";
import type { CoreFiles } from "./core-files.js";
import { Exercise } from "./exercise.js";
import { useNarrow } from "./parts/narrow.js";
import { Prose } from "./parts/prose.js";
import { markDone } from "./progress.js";
import { Session } from "./session.js";
import { useKeysFor } from "./session-context.js";
import { Stage, useSession } from "./stage.js";
import { type Route, writeRoute } from "./url.js";
import { useSharedUrl } from "./use-url.js";

interface Props {
  lesson: Lesson;
  files: CoreFiles;
  route: Route;
  onError(error: Error): void;
}

export function LessonPage({ lesson, files, route, onError }: Props) {
  const [session, setSession] = useState<Session>();
  useEffect(() => {
    const make = async () =>
      route.state
        ? Session.open(decodeState(route.state), files.build)
        : Session.make(makeSetup(lesson.setup), files.build);
    make().then(setSession, onError);
  }, [lesson]);
  if (!session) return <p class="loading">…</p>;
  return <LessonBody {...{ lesson, files, session }} first={route.beat ?? 0} />;
}

function LessonBody({
  lesson,
  files,
  session,
  first,
}: {
  lesson: Lesson;
  files: CoreFiles;
  session: Session;
  first: number;
}) {
  useSession(session);
  useKeysFor(session);
  const narrow = useNarrow();
  const last = lesson.beats.length;
  const [beat, setBeat] = useState(Math.min(first, last));
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useSharedUrl(
    session,
    () => writeRoute({ page: "lesson", lesson: lesson.id, beat, state: encodeState(session.machine.state) }),
    beat,
  );
  const stage = (
    <div class="stage-column">
      {lesson.extra === "compare" && beat >= 1 && <Compare files={files} />}
      <Stage {...{ session }} sources={files.sources} shows={lesson.shows} overview={lesson.extra === "overview"} />
    </div>
  );
  const number = LESSONS.indexOf(lesson) + 1;
  const next = LESSONS[number];
  const goOn = () => setBeat((at) => Math.min(last, at + 1));
  const solved = () => {
    markDone(lesson.id);
    redraw(0);
  };
  return (
    <main id="main" class="lesson">
      <article class="prose">
        <p class="kicker">
          Lesson {number} of {LESSONS.length}
        </p>
        <h1>{lesson.title}</h1>
        {lesson.beats.slice(0, beat + 1).map((each, i) => (
          <div key={each.text} class="beat">
            <BeatView beat={each} {...{ session }} active={i === beat} onDone={goOn} start={startOf(lesson, i)} />
            {narrow && i === beat && stage}
          </div>
        ))}
        {beat >= last && (
          <div class="beat">
            <Exercise exercise={lesson.exercise} {...{ session }} onSolved={solved} />
            {narrow && stage}
            <nav class="go-on" aria-label="Next">
              {next ? (
                <a class="button" href={writeRoute({ page: "lesson", lesson: next.id })}>
                  Next: {next.title} →
                </a>
              ) : (
                <a class="button" href={writeRoute({ page: "quiz" })}>
                  Ten questions →
                </a>
              )}
            </nav>
          </div>
        )}
      </article>
      {!narrow && stage}
    </main>
  );
}

/** Setup and acts that lead to the start of a piece. */
function startOf(lesson: Lesson, beat: number) {
  return { setup: lesson.setup, acts: lesson.beats.slice(0, beat).flatMap(({ acts }) => acts ?? []) };
}

interface BeatProps {
  beat: Beat;
  session: Session;
  /** The last one that is shown. */
  active: boolean;
  start: ReturnType<typeof startOf>;
  onDone(): void;
}

type Stand = "asked" | "answered" | "shown";

function BeatView({ beat, session, active, start, onDone }: BeatProps) {
  const { text, predict, acts, after } = beat;
  const [stand, setStand] = useState<Stand>(active ? (predict ? "asked" : "answered") : "shown");
  const [choice, setChoice] = useState<number>();
  const name = useId();
  const show = async () => {
    // Whatever the reader has tried in between is put aside.
    await session.replace(makeSetup(start.setup));
    session.perform(start.acts);
    session.play(acts);
    setStand("shown");
  };
  const goOn = () => {
    session.skip();
    onDone();
  };
  return (
    <>
      <Prose text={text} />
      {predict && (
        <fieldset class="predict">
          <legend>
            <span class="tag">Predict</span> {predict.question}
          </legend>
          {predict.choices.map((text, i) => (
            <label key={text} class={stand !== "asked" ? mark(i, choice, predict.right) : ""}>
              <input
                type="radio"
                name={name}
                disabled={stand !== "asked"}
                checked={choice === i}
                onChange={() => setChoice(i)}
              />
              <span>{text}</span>
              {stand !== "asked" && i === predict.right && <strong> ✓ right</strong>}
              {stand !== "asked" && i === choice && i !== predict.right && <strong> ✕ not so</strong>}
            </label>
          ))}
          {stand === "asked" && (
            <button type="button" class="primary" disabled={choice === undefined} onClick={() => setStand("answered")}>
              That is my guess
            </button>
          )}
          {stand !== "asked" && (
            <div class="why" role="status">
              <Prose text={predict.why} />
            </div>
          )}
        </fieldset>
      )}
      {stand === "answered" && acts && (
        <button type="button" class="primary show" onClick={show}>
          ▶ Show me
        </button>
      )}
      {stand === "shown" && after && <Prose text={after} />}
      {active && (stand === "shown" || (stand === "answered" && !acts)) && (
        <button type="button" class="go-on" onClick={goOn}>
          Go on ↓
        </button>
      )}
      {stand === "shown" && acts && (
        <button type="button" class="quiet again" onClick={show}>
          ↺ Show it again
        </button>
      )}
    </>
  );
}

function mark(i: number, choice: number | undefined, right: number): string {
  if (i === right) return "is-right";
  return i === choice ? "is-wrong" : "";
}
