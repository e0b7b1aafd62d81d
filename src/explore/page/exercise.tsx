// The exercise at the end of a lesson: the reader works the machine, and a predicate over it says when it is done.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Exercise as ExerciseOf } from "../lessons/lesson.js";
import { makeSetup } from "../machine/index.js";
import { Actions, Faults } from "./actions.js";
import { Prose } from "./parts/prose.js";
import type { Session } from "./session.js";

interface Props {
  exercise: ExerciseOf;
  session: Session;
  onSolved(): void;
}

export function Exercise({ exercise, session, onSolved }: Props) {
  /** Events before the reader's turn, and the machine that they happened to. */
  const [start, setStart] = useState<number>();
  const begun = useRef(session.machine);
  const begin = async () => {
    if (exercise.setup) await session.replace(makeSetup(exercise.setup));
    session.perform(exercise.acts ?? []);
    begun.current = session.machine;
    setStart(session.machine.position);
  };
  const running = start !== undefined && begun.current === session.machine;
  const moment = { view: session.view, events: session.events.slice(start ?? 0) };
  const done = running && exercise.done(moment);
  useEffect(() => {
    if (done) onSolved();
  }, [done]);
  const solve = async () => {
    await begin();
    session.play(exercise.solution);
  };
  return (
    <section class="exercise" aria-label="Exercise">
      <h2>Your turn</h2>
      <Prose text={exercise.text} />
      {!running && (
        <button type="button" class="primary" onClick={begin}>
          Begin
        </button>
      )}
      {running && (
        <>
          <Actions session={session} actions={exercise.actions} />
          {exercise.faults && <Faults session={session} />}
          <p class={done ? "verdict is-done" : "verdict"} role="status">
            {done ? "✓ Done." : `Not yet: ${exercise.hint(moment)}`}
          </p>
          <p class="row">
            <button type="button" class="quiet" onClick={begin}>
              ↺ From the start
            </button>
            <button type="button" class="quiet" onClick={solve}>
              Show a way to do it
            </button>
          </p>
        </>
      )}
    </section>
  );
}
