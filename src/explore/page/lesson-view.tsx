// A lesson on the machine: what its pieces do, and what an exercise is solved with.

import { useEffect, useReducer, useState } from "preact/hooks";
import type { Lesson } from "../lessons/lesson.js";
import { decodeState, encodeState, makeSetup } from "../machine/index.js";
import { Compare } from "./compare.js";
import type { CoreFiles } from "./core-files.js";
import { Exercise } from "./exercise.js";
import { LessonFrame } from "./lesson-frame.js";
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
  const goOn = () => {
    session.skip();
    setBeat((at) => Math.min(last, at + 1));
  };
  const show = async (number: number) => {
    // Whatever the reader has tried in between is put aside.
    await session.replace(makeSetup(lesson.setup));
    session.perform(lesson.beats.slice(0, number).flatMap(({ acts }) => acts ?? []));
    session.play(lesson.beats[number]!.acts);
  };
  const solved = () => {
    markDone(lesson.id);
    redraw(0);
  };
  const exercise = <Exercise exercise={lesson.exercise} {...{ session }} onSolved={solved} />;
  const showOf = (number: number) => lesson.beats[number]!.acts && (() => show(number));
  return <LessonFrame {...{ lesson, beat, stage, exercise }} show={showOf} onDone={goOn} />;
}
