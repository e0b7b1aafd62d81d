// What `ringbridge sim` shows of a scenario on a terminal.

import type { Check } from "../sim/expectations.js";
import { numberText } from "../sim/expectations.js";
import type { FlowResult, GuestResult, LinkResult, RunResult } from "../sim/result.js";
import type { SimulationResult } from "../sim/run.js";
import { formatCount, formatRate, indent, renderTable } from "./table.js";

/** More guests than these are shown by group. */
const GUESTS_SHOWN = 16;

/** The text, tables of every run, and the answers. `seconds`: how long it took on this machine. */
export function simulationView({ about, seed, runs, checks, pass }: SimulationResult, seconds: number): string {
  const frames = runs.reduce((sum, run) => sum + run.frames, 0);
  const failed = checks.filter((check) => !check.pass).length;
  const sum = pass ? `all ${checks.length} expectations hold` : `${failed} of ${checks.length} expectations failed`;
  const pace = `${formatCount(frames)} frames in ${seconds.toFixed(2)} s of this machine, ${formatRate(frames / seconds, "frames/s")}`;
  return [about, ...runs.map(runView), checksView(checks), `${sum}; seed ${seed}; ${pace}`].join("\n\n");
}

function runView(run: RunResult): string {
  const title = `${run.variant === undefined ? "" : `${run.variant}: `}${numberText(run.milliseconds)} ms of the network's time`;
  const parts = [guestTable(run.guests)];
  if (run.flows.length > 0) parts.push(flowTable(run.flows));
  if (run.links.length > 0) parts.push(linkTable(run.links));
  return `${title}\n${parts.map((part) => indent(part)).join("\n\n")}`;
}

const right = (title: string) => ({ title, align: "right" as const });

function guestTable(guests: readonly GuestResult[]): string {
  const rows = guests.length > GUESTS_SHOWN ? byGroup(guests) : guests;
  return renderTable(
    [
      { title: "guest" },
      right("sent"),
      right("refused"),
      right("received"),
      right("kicks"),
      right("calls"),
      { title: "dropped" },
    ],
    rows.map(({ name, sent, refused, received, kicks, calls, drops, fault }) => {
      const causes = Object.entries(drops).map(([cause, count]) => `${count} ${cause}`);
      return [
        name,
        sent,
        refused,
        received,
        kicks,
        calls,
        [...causes, ...(fault ? [`stopped: ${fault}`] : [])].join(", "),
      ];
    }),
  );
}

function byGroup(guests: readonly GuestResult[]): GuestResult[] {
  return [...new Set(guests.map(({ group }) => group))].map((group) => {
    const own = guests.filter((guest) => guest.group === group);
    const sum = (count: (guest: GuestResult) => number) => own.reduce((all, guest) => all + count(guest), 0);
    const drops: Record<string, number> = {};
    for (const guest of own) {
      for (const [cause, count] of Object.entries(guest.drops)) drops[cause] = (drops[cause] ?? 0) + count;
    }
    return {
      ...{ name: own.length === 1 ? group : `${group} (${own.length})`, group, drops },
      ...{ sent: sum(({ sent }) => sent), refused: sum(({ refused }) => refused) },
      ...{
        received: sum(({ received }) => received),
        kicks: sum(({ kicks }) => kicks),
        calls: sum(({ calls }) => calls),
      },
      fault: own.find(({ fault }) => fault !== undefined)?.fault,
    };
  });
}

function flowTable(flows: readonly FlowResult[]): string {
  const titles = ["sent", "refused", "received", "reordered", "p50 ms", "p90 ms", "p99 ms", "most ms"];
  return renderTable(
    [{ title: "flow" }, ...titles.map(right)],
    flows.map(({ name, flows: count, sent, refused, received, reordered, latency }) => {
      const times = latency
        ? [latency.p50, latency.p90, latency.p99, latency.most].map(numberText)
        : ["-", "-", "-", "-"];
      return [count === 1 ? name : `${name} (${count})`, sent, refused, received, reordered, ...times];
    }),
  );
}

function linkTable(links: readonly LinkResult[]): string {
  return renderTable(
    [{ title: "link" }, ...["carried", "lost", "overflowed", "refused"].map(right)],
    links.map(({ name, carried, lost, overflowed, refused }) => [name, carried, lost, overflowed, refused]),
  );
}

function checksView(checks: readonly Check[]): string {
  const titles = [
    "",
    ...(checks.some(({ variant }) => variant !== undefined) ? ["variant"] : []),
    "what",
    "expected",
    "came",
  ];
  const table = renderTable(
    titles.map((title) => ({ title })),
    checks.map(({ pass, variant, what, expected, came }) => [
      pass ? "ok" : "FAILED",
      ...(titles.length === 5 ? [variant ?? ""] : []),
      ...[what, expected, came],
    ]),
  );
  const lessons = [...new Set(checks.flatMap(({ why }) => (why === undefined ? [] : [why.trim()])))];
  return [table, ...(lessons.length > 0 ? [lessons.map((why) => `- ${why}`).join("\n")] : [])].join("\n\n");
}
