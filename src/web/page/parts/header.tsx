// The bar on top: whose page it is, whether it is live, and what the reader can set.

import { useEffect, useState } from "preact/hooks";
import { ThemeButton } from "../../../explore/page/parts/theme.js";
import { SPANS, type Span } from "../app.js";
import type { Model } from "../model.js";
import type { Unit } from "../units.js";

interface HeaderProps {
  model: Model;
  unit: Unit;
  onUnit(unit: Unit): void;
  span: Span;
  onSpan(span: Span): void;
}

export function Header({ model, unit, onUnit, span, onSpan }: HeaderProps) {
  const { picture, paused } = model;
  return (
    <header class="top">
      <h1>
        ringbridge <span class="light">live</span>
      </h1>
      <Status model={model} />
      {picture !== undefined && (
        <div class="controls">
          <button
            type="button"
            aria-pressed={paused}
            aria-keyshortcuts="p"
            title="Pause the picture (P)"
            onClick={() => model.pause(!paused)}
          >
            {paused ? "▶ Go on" : "❚❚ Pause"}
          </button>
          <Choice label="Unit" value={unit} options={{ frames: "frames/s", bits: "bit/s" }} onChange={onUnit} />
          <Choice
            label="Time shown"
            value={String(span)}
            options={Object.fromEntries(SPANS.map((seconds) => [String(seconds), `${seconds / 60} min`]))}
            onChange={(seconds) => onSpan(Number(seconds) as Span)}
          />
          <ThemeButton />
        </div>
      )}
    </header>
  );
}

/** Said to screen readers when it changes; the seconds to the next try are not. */
function Status({ model: { link, paused } }: { model: Model }) {
  const wait = useSecondsTo(link.state === "gone" ? link.retryAt : undefined);
  const [mark, word] =
    link.state === "gone"
      ? ["✕", "the switch is gone"]
      : link.state === "token"
        ? ["✕", "the token is not known"]
        : link.state === "connecting"
          ? ["…", "connecting"]
          : paused
            ? ["❚❚", "paused"]
            : ["●", "live"];
  return (
    <p class={`link link-${link.state === "live" && paused ? "paused" : link.state}`}>
      <span role="status">
        <span aria-hidden="true">{mark} </span>
        {word}
        {link.state === "gone" && <span class="why">: {link.why}</span>}
      </span>
      {link.state === "gone" && <span class="why">; next try {wait > 0 ? `in ${wait} s` : "now"}</span>}
    </p>
  );
}

function useSecondsTo(time: number | undefined): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (time === undefined) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [time]);
  return time === undefined ? 0 : Math.max(0, Math.ceil((time - now) / 1000));
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: Record<T, string>;
  onChange(value: T): void;
}

function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>) {
  return (
    <select aria-label={label} value={value} onChange={(event) => onChange(event.currentTarget.value as T)}>
      {Object.entries<string>(options).map(([key, text]) => (
        <option key={key} value={key}>
          {text}
        </option>
      ))}
    </select>
  );
}
