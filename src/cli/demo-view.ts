// What the demo shows: the live table, a line for terminals that cannot redraw, and the summary.

import { dropCause } from "../core/causes.js";
import { type DemoDirection, isClean, uncounted } from "./demo-result.js";
import { type Column, formatCount, formatRate, indent, renderTable } from "./table.js";

const right = (title: string): Column => ({ title, align: "right" });

const LIVE_COLUMNS = [
  ...[{ title: "FLOW" }, right("SENT"), right("RECEIVED"), right("BITS"), right("P50"), right("P99")],
  ...[right("DROPPED"), right("WRONG")],
];

const EXPLANATION = [
  ["SENT", "frames a second that the guest put into its transmit ring"],
  ["RECEIVED", "frames a second that the other guest took from its receive ring, every byte of them checked"],
  ["BITS", "the same in bits: Ethernet header and payload"],
  ["P50, P99", "half, and 99 %, of the frames took no longer from ring to check; most of it is waiting in full rings"],
  ["DROPPED", "frames not delivered so far, as counted by the switch"],
  ["WRONG", "frames so far that arrived changed, twice, or out of order"],
];

/** What the columns mean, a line for each. */
export function explanation(): string {
  return renderTable(
    [{ title: "" }, { title: "" }],
    EXPLANATION.map((row) => row),
  ).trimStart();
}

/** The table of one moment. */
export function liveTable(list: readonly DemoDirection[]): string {
  return renderTable(
    LIVE_COLUMNS,
    list.map((each) => [
      flow(each),
      formatRate(each.sentPerSecond, "pps"),
      formatRate(each.receivedPerSecond, "pps"),
      formatRate(each.bitsPerSecond, "bit/s"),
      microseconds(each.latencyUs?.p50),
      microseconds(each.latencyUs?.p99),
      formatCount(each.dropped),
      formatCount(wrong(each)),
    ]),
  );
}

/** The same in one line, for a log. */
export function liveLine(seconds: number, list: readonly DemoDirection[]): string {
  const parts = list.map((each) => {
    const rates = `${formatRate(each.receivedPerSecond, "pps")} ${formatRate(each.bitsPerSecond, "bit/s")}`;
    return `${flow(each)} ${rates}, ${formatCount(each.dropped)} dropped, ${formatCount(wrong(each))} wrong`;
  });
  return `${String(seconds).padStart(4)} s  ${parts.join("  |  ")}`;
}

/** The outcome: totals, drops by cause with their meaning, and the verdict. Rates are those of the whole run. */
export function summary(seconds: number, traffic: string, list: readonly DemoDirection[]): string {
  const table = renderTable(
    [
      ...[{ title: "FLOW" }, right("SENT"), right("RECEIVED"), right("DROPPED"), right("UNCOUNTED")],
      ...[right("CHANGED"), right("DOUBLED"), right("REORDERED"), right("RATE"), right("BITS")],
    ],
    list.map((each) => [
      ...[flow(each), each.sent, each.received, each.dropped, uncounted(each)],
      ...[each.corrupt, each.duplicates, each.reordered],
      ...[formatRate(each.receivedPerSecond, "pps"), formatRate(each.bitsPerSecond, "bit/s")],
    ]),
  );
  const lines = [`${seconds.toFixed(1)} s of ${traffic} both ways, every byte checked:`, "", indent(table), ""];
  for (const [cause, count] of Object.entries(dropsByCause(list))) {
    lines.push(`${count} dropped: ${cause}. ${dropCause(cause)?.explanation ?? ""}`.trimEnd());
  }
  lines.push(verdict(list));
  return lines.join("\n");
}

function verdict(list: readonly DemoDirection[]): string {
  if (isClean(list)) {
    return "Sent = received + dropped: every frame arrived whole, once and in order, or was counted by the switch.";
  }
  const sum = (value: (each: DemoDirection) => number) => list.reduce((total, each) => total + value(each), 0);
  const faults = [
    [sum((each) => Math.abs(uncounted(each))), "unaccounted for"],
    [sum((each) => each.corrupt), "changed"],
    [sum((each) => each.duplicates), "doubled"],
    [sum((each) => each.reordered), "out of order"],
  ] as const;
  const named = faults.filter(([count]) => count > 0).map(([count, fault]) => `${count} ${fault}`);
  return `FAILED: ${named.join(", ")}. That must never be: please report it with this output.`;
}

/** Drops of all directions together. */
export function dropsByCause(list: readonly DemoDirection[]): Record<string, number> {
  const drops: Record<string, number> = {};
  for (const each of list) {
    for (const [cause, count] of Object.entries(each.drops)) drops[cause] = (drops[cause] ?? 0) + count;
  }
  return drops;
}

function flow({ from, to }: DemoDirection): string {
  return `${from} -> ${to}`;
}

function wrong({ corrupt, duplicates, reordered }: DemoDirection): number {
  return corrupt + duplicates + reordered;
}

function microseconds(value: number | undefined): string {
  if (value === undefined) return "-";
  return value < 9.95 ? `${value.toFixed(1)} us` : `${Math.round(value)} us`;
}
