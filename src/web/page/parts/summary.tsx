// The switch in one line of figures.

import { formatBytes, formatCount, formatDuration, formatRate } from "../../../cli/table.js";
import type { History } from "../history.js";
import type { Picture } from "../model.js";

export function Summary({ picture, history }: { picture: Picture; history: History }) {
  const { ports, workers, fdb, memory } = picture;
  const sum = (key: "rxFrames" | "txFrames" | "txBits") => {
    const rates = ports.map(({ name }) => history.last(name)[key]).filter((rate) => rate !== null);
    return rates.length === 0 ? undefined : rates.reduce((total, rate) => total + rate, 0);
  };
  const [frames, bits] = [sum("txFrames"), sum("txBits")];
  const drops = [...history.drops.values()].reduce((total, values) => total + (values.at(-1) ?? 0), 0);
  const running = ports.filter(({ state }) => state === "running").length;
  const asleep = workers.filter(({ state }) => state === "parked").length;
  const figures = [
    [
      "Delivered",
      frames === undefined ? "–" : formatRate(frames, "pps"),
      bits === undefined ? "" : formatRate(bits, "bit/s"),
    ],
    [
      "Dropped",
      frames === undefined ? "–" : formatRate(drops, "pps"),
      drops > 0 ? "see the causes below" : "nothing now",
    ],
    ["Ports", `${running} of ${ports.length}`, "have a running ring"],
    ["Addresses", formatCount(fdb.entries), `of ${formatCount(fdb.limit)}; ${formatCount(fdb.moved)} moved`],
    [
      workers.length === 1 ? "Worker" : "Workers",
      workers.length === 1 ? (asleep === 1 ? "asleep" : "polling") : `${workers.length - asleep} of ${workers.length}`,
      workers.length === 1 ? `slept ${formatCount(workers[0]!.parks)} times` : "polling, the others asleep",
    ],
    ["Guest memory", formatBytes(memory.windowBytesUsed), `mapped, of ${formatBytes(memory.totalBytes)}`],
    ["Up", formatDuration(Date.now() - picture.startedAt), `version ${picture.version}`],
  ];
  return (
    <dl class="summary area-summary" title={`core ${picture.wasmHash}, process ${picture.pid}`}>
      {figures.map(([label, value, more]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
          <dd class="note">{more}</dd>
        </div>
      ))}
    </dl>
  );
}
