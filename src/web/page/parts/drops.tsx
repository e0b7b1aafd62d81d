// Frames that were not delivered: how many in a second over time, and why, in words.

import { dropCause } from "../../../core/causes.js";
import { formatCount, formatRate } from "../../../cli/table.js";
import type { History } from "../history.js";
import type { Picture } from "../model.js";
import { Plot } from "../plot.js";
import { axisText } from "../units.js";
import { roundUp } from "./port-plots.js";
import { Scroll } from "./scroll.js";

/** Lines that are drawn: the causes with most drops. */
const LINES_MAX = 4;
const LOOKS = [
  { colour: "--bad", mark: "━━" },
  { colour: "--device", mark: "┅┅", dash: [8, 4] },
  { colour: "--driver", mark: "┈┈", dash: [2, 4] },
  { colour: "--good", mark: "━·", dash: [10, 4, 2, 4] },
];

interface DropsProps {
  picture: Picture;
  history: History;
  span: number;
  paused: boolean;
  port: string | undefined;
}

export function Drops({ picture, history, span, paused, port }: DropsProps) {
  const ports = picture.ports.filter(({ name }) => port === undefined || name === port);
  const totals = new Map<string, { count: number; where: string[] }>();
  for (const { name, drops } of ports) {
    for (const [cause, count] of Object.entries(drops)) {
      const total = totals.get(cause) ?? { count: 0, where: [] };
      totals.set(cause, { count: total.count + count, where: [...total.where, name] });
    }
  }
  const causes = [...totals].sort(([, a], [, b]) => b.count - a.count);
  const from = Math.max(
    0,
    history.times.findIndex((time) => time >= history.times.at(-1)! - span),
  );
  const drawn = [...history.drops.keys()].slice(0, LINES_MAX);
  const most = Math.max(
    1,
    ...drawn.flatMap((cause) =>
      history.drops
        .get(cause)!
        .slice(from)
        .map((value) => value ?? 0),
    ),
  );
  const look = (cause: string) => LOOKS[drawn.indexOf(cause)];

  return (
    <>
      <Plot
        times={history.times}
        lines={drawn.map((cause) => ({ name: cause, values: history.drops.get(cause)!, ...look(cause)! }))}
        {...{ span, paused }}
        top={roundUp(most)}
        format={axisText}
        height={132}
        label={`Frames dropped in a second, by cause, at all ports: ${
          drawn.map((cause) => `${cause} ${formatRate(history.drops.get(cause)!.at(-1) ?? 0, "pps")}`).join(", ") ||
          "none"
        }`}
      />
      {causes.length === 0 ? (
        <p class="empty">
          {port === undefined ? "No frame has been dropped." : `No frame has been dropped at ${port}.`}
        </p>
      ) : (
        <Scroll label="Drops by cause">
          <ul class="causes">
            {causes.map(([cause, { count, where }]) => (
              <li key={cause}>
                <p>
                  {look(cause) && (
                    <span class={`key key-drop${drawn.indexOf(cause)}`} aria-hidden="true">
                      {look(cause)!.mark}{" "}
                    </span>
                  )}
                  <b>{cause}</b>: {formatCount(count)} {count === 1 ? "frame" : "frames"}
                  {port === undefined && ` at ${names(where)}`}, now{" "}
                  {formatRate(history.drops.get(cause)?.at(-1) ?? 0, "pps")}
                </p>
                <p class="note">
                  {dropCause(cause)?.explanation} {dropCause(cause)?.hint}
                </p>
              </li>
            ))}
          </ul>
        </Scroll>
      )}
    </>
  );
}

function names(ports: readonly string[]): string {
  return ports.length > 3 ? `${ports.slice(0, 3).join(", ")} and ${ports.length - 3} more` : ports.join(", ");
}
