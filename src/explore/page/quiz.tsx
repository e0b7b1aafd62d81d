// Ten questions. Whoever is wrong is shown the lesson that has the answer.

import { useId, useState } from "preact/hooks";
import { LESSONS } from "../lessons/index.js";
import { QUIZ, type Question } from "../lessons/quiz.js";
import { Line, Prose } from "./parts/prose.js";
import { writeRoute } from "./url.js";

export function Quiz() {
  const [right, setRight] = useState<ReadonlySet<number>>(new Set());
  return (
    <main id="main" class="quiz prose">
      <h1>Ten questions</h1>
      <p>Everything that is asked here stands in the lessons. Each answer says in which.</p>
      <ol>
        {QUIZ.map((question, i) => (
          <QuestionView key={question.question} question={question} onRight={() => setRight(new Set([...right, i]))} />
        ))}
      </ol>
      <p role="status" class="verdict">
        {right.size} of {QUIZ.length} right{right.size === QUIZ.length ? ". You know how a virtqueue works." : ""}
      </p>
    </main>
  );
}

function QuestionView({ question, onRight }: { question: Question; onRight(): void }) {
  const [choice, setChoice] = useState<number>();
  const name = useId();
  const lesson = LESSONS.find(({ id }) => id === question.lesson)!;
  const choose = (i: number) => {
    setChoice(i);
    if (i === question.right) onRight();
  };
  return (
    <li>
      <fieldset class="predict">
        <legend>
          <Line text={question.question} />
        </legend>
        {question.choices.map((text, i) => (
          <label key={text} class={choice === i ? (i === question.right ? "is-right" : "is-wrong") : ""}>
            <input type="radio" name={name} checked={choice === i} onChange={() => choose(i)} />
            <span>
              <Line text={text} />
            </span>
            {choice === i && <strong>{i === question.right ? " ✓ right" : " ✕ not so"}</strong>}
          </label>
        ))}
        {choice !== undefined && (
          <div class="why" role="status">
            {choice === question.right && <Prose text={question.why} />}
            <p>
              The answer is in <a href={writeRoute({ page: "lesson", lesson: lesson.id })}>{lesson.title}</a>.
            </p>
          </div>
        )}
      </fieldset>
    </li>
  );
}
