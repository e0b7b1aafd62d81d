// A piece of a lesson: text, a question to be answered before anything is shown, what is shown, and what one was to see.

import { useId, useState } from "preact/hooks";
import type { Beat } from "../lessons/lesson.js";
import { Prose } from "./parts/prose.js";

export type ShownBeat = Pick<Beat, "text" | "predict" | "after">;

interface Props {
  beat: ShownBeat;
  /** The last one that is shown. */
  active: boolean;
  /** Shows what it has to show; undefined when it only says something. */
  show: (() => unknown) | undefined;
  onDone(): void;
}

type Stand = "asked" | "answered" | "shown";

export function BeatView({ beat, active, show, onDone }: Props) {
  const { text, predict, after } = beat;
  const [stand, setStand] = useState<Stand>(active ? (predict ? "asked" : "answered") : "shown");
  const [choice, setChoice] = useState<number>();
  const name = useId();
  const showIt = () => {
    show?.();
    setStand("shown");
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
      {stand === "answered" && show && (
        <button type="button" class="primary show" onClick={showIt}>
          ▶ Show me
        </button>
      )}
      {stand === "shown" && after && <Prose text={after} />}
      {active && (stand === "shown" || (stand === "answered" && !show)) && (
        <button type="button" class="go-on" onClick={onDone}>
          Go on ↓
        </button>
      )}
      {stand === "shown" && show && (
        <button type="button" class="quiet again" onClick={showIt}>
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
