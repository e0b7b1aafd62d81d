// What every lesson looks like: its pieces one after the other, then the exercise and the way on. The stage, where its subject
// moves, stands beside the text, or on a phone below the piece that it belongs to.

import type { ComponentChildren } from "preact";
import { LESSONS } from "../lessons/index.js";
import { BeatView, type ShownBeat } from "./beat-view.js";
import { useNarrow } from "./parts/narrow.js";
import { writeRoute } from "./url.js";

interface Props {
  lesson: (typeof LESSONS)[number];
  /** Number of the piece that the reader has come to; behind the last one is the exercise. */
  beat: number;
  /** What the last piece shown does when it is to show something; undefined: it only says something. */
  show(number: number): (() => unknown) | undefined;
  /** The reader is done with the last piece shown. */
  onDone(): void;
  stage: ComponentChildren;
  exercise: ComponentChildren;
}

export function LessonFrame({ lesson, beat, show, onDone, stage, exercise }: Props) {
  const narrow = useNarrow();
  const beats: readonly ShownBeat[] = lesson.beats;
  return (
    <main id="main" class="lesson">
      <article class="prose">
        <p class="kicker">
          Lesson {LESSONS.indexOf(lesson) + 1} of {LESSONS.length}
        </p>
        <h1>{lesson.title}</h1>
        {beats.slice(0, beat + 1).map((each, i) => (
          <div key={each.text} class="beat">
            <BeatView beat={each} active={i === beat} onDone={onDone} show={show(i)} />
            {narrow && i === beat && stage}
          </div>
        ))}
        {beat >= beats.length && (
          <div class="beat">
            {exercise}
            {narrow && stage}
            <NextLesson lesson={lesson} />
          </div>
        )}
      </article>
      {!narrow && stage}
    </main>
  );
}

function NextLesson({ lesson }: Pick<Props, "lesson">) {
  const next = LESSONS[LESSONS.indexOf(lesson) + 1];
  return (
    <nav class="go-on" aria-label="Next">
      <a class="button" href={writeRoute(next ? { page: "lesson", lesson: next.id } : { page: "quiz" })}>
        {next ? `Next: ${next.title} →` : "Ten questions →"}
      </a>
    </nav>
  );
}
