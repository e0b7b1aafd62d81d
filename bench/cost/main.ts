// `npm run bench:cost -- page|capture`: what it costs a switch under full load to be looked at. One switch, one generator,
// neighbouring windows in turns with something open and closed: the live page's streams (state, and a snapshot of a ring
// four times a second), or a capture of one port beside others (--unread: its client takes nothing, so the rings stay
// full). The switch's main thread, its worker and who looks at it share one core, so that whatever that takes is taken from the
// worker, and the generator has the other; what is received is told by second, and by second of the worker's own CPU time: what
// is left where the main thread has a core of its own.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { parseArgs } from "node:util";
import { BackEnd } from "../../src/bench/back-end.js";
import { CoreProbe } from "../../src/bench/core-probe.js";
import { describeEnvironment } from "../../src/bench/environment.js";
import { flowsOfGuest, Rig } from "../../src/bench/rig.js";
import { ratioOf, WARM_UP } from "../../src/bench/method-rate.js";
import { spreadOf } from "../../src/bench/statistics.js";
import { announce, flatOut } from "../../src/bench/traffic-loops.js";
import { lanesOf, type Subject, takeWindow, type WindowPlan, type WindowResult } from "../../src/bench/window.js";
import { builtFile } from "../../src/guest/children.js";
import { pinProcess, pinThread, setThreadPriority } from "../../src/sys/affinity.js";
import type { ClientAnswer, ClientCounts, ClientOrder } from "./client.js";

const TOKEN = "the-token-of-this-bench";
const CLIENTS_MAX = 16;

interface Look {
  /** Ports under load; the even ones send to the odd ones. */
  ports: number;
  open: (web: string, control: string) => ClientOrder;
  /** What one of them was given, for the report. */
  given: (answer: ClientCounts) => string;
}

const LOOKS: Record<string, Look> = {
  page: {
    ports: 2,
    open: (web) => ({ open: [`${web}v1/live`, `${web}v1/ring?port=port0&queue=1`], token: TOKEN }),
    given: ({ events, bytes }) => `${events.toFixed(1)} events and ${(bytes / 1000).toFixed(0)} kB`,
  },
  capture: {
    ports: 4,
    open: (_, control) => ({ capture: "port2", control, unread: values.unread }),
    given: ({ events, bytes, passed }) =>
      `${Math.round(events / 1000)} thousand of ${Math.round(passed / 1000)} thousand frames, ${(bytes / 1e6).toFixed(1)} MB`,
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pairs: { type: "string", default: "20" },
    seconds: { type: "string", default: "1" },
    size: { type: "string", default: "64" },
    clients: { type: "string", default: "1" },
    unread: { type: "boolean", default: false },
    cpus: { type: "string", default: "0,1" },
    nice: { type: "string" },
    stall: { type: "string", default: "10" },
  },
});
const pairs = Number(values.pairs);
const seconds = Number(values.seconds);
const size = Number(values.size);
const count = Math.min(CLIENTS_MAX, Number(values.clients));
const cpus = values.cpus.split(",").map(Number) as [number, number];
const nice = values.nice === undefined ? undefined : Number(values.nice);

const name = positionals[0] ?? "";
const look = LOOKS[name];
if (positionals.length !== 1 || look === undefined) {
  process.stderr.write(`bench:cost: name one of ${Object.keys(LOOKS).join(", ")}\n`);
  process.exit(2);
}
const { ports } = look;
const SHAPE = {
  ports,
  pairs: 1,
  queueSize: 256,
  ring: "split",
  segmentation: false,
  flows: ports / 2,
  hugePages: false,
} as const;

const folder = mkdtempSync(join(tmpdir(), "ringbridge-cost-"));
const endings: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
try {
  await run(look);
} finally {
  for (const end of endings.reverse()) await end();
}

interface Looked {
  window: WindowResult | undefined;
  /** Frames received of each pair of ports. */
  received: number[];
  /** CPU time of the switch's main thread in a second of the window. */
  mainSeconds: number;
}

async function run({ open: orderOf, given }: Look): Promise<void> {
  const { child, url, sockets, control } = await startSwitch();
  const spec = { kind: "sockets", name: "ringbridge", sockets, role: "connect", pid: child.pid! } as const;
  const backEnd = await BackEnd.start(spec, { ports, pairs: 1, addresses: 1, workers: 1, poll: true });
  endings.push(() => backEnd.close());
  const clients = Array.from({ length: count }, () => startClient());
  backEnd.place(cpus[1], nice);
  pinThread([cpus[0]]);
  if (nice !== undefined) setThreadPriority(nice);
  const probe = await CoreProbe.start({ cpu: cpus[1], nice });
  endings.push(() => probe.close());
  const rig = await Rig.attach([backEnd.target(ports)], { ...SHAPE, frameBytes: size });
  endings.push(() => rig.close());
  const subject: Subject = { backEnd, guests: rig.guests[0]!, driver: rig.driver };
  for (const queue of subject.guests.flatMap(({ transmitqs }) => transmitqs)) queue.setTraffic([size], false);
  announce(lanesOf(subject, "both-ways"), flowsOfGuest(SHAPE));

  const order = orderOf(url, control);
  const ns = seconds * 1e9;
  const sums = { events: 0, bytes: 0, passed: 0 };
  const take = async (open: boolean): Promise<Looked> => {
    backEnd.resume();
    if (open) await Promise.all(clients.map((client) => ask(client, order)));
    await setImmediate();
    const looked: Looked = { window: undefined, received: [], mainSeconds: 0 };
    const plan: WindowPlan = {
      warmUp: (lanes) => void flatOut(lanes, ns * WARM_UP),
      loop: (lanes) => {
        const framesOf = () => lanes.rx.map(({ queue }) => queue.counters().frames);
        const [before, main] = [framesOf(), mainThreadSeconds(child.pid!)];
        const times = flatOut(lanes, ns);
        looked.mainSeconds = (mainThreadSeconds(child.pid!) - main) / (times.ns / 1e9);
        looked.received = framesOf().map((frames, i) => frames - before[i]!);
        return times;
      },
    };
    const stallMs = Number(values.stall);
    const window = takeWindow(subject, { probe, cpus, stallMs, direction: "one-way", plan: () => plan });
    if (typeof window === "string") say(`a window was left out: ${window}`);
    else looked.window = window;
    backEnd.resume();
    if (open) {
      for (const answer of await Promise.all(clients.map((client) => ask(client, { close: true })))) {
        if (!("closed" in answer)) continue;
        for (const key of ["events", "bytes", "passed"] as const) sums[key] += answer.closed[key];
      }
    }
    return looked;
  };

  const taken: Round[] = [];
  for (let i = 0; i < pairs; i++) {
    // The one between two of the other kind: what drifts in a second cancels out.
    const round = { closed: await take(false), open: await take(true), closedAgain: await take(false) };
    if (isComparable(round)) taken.push(round);
    const rates = (looked: Looked) =>
      looked.window ? looked.received.map((_, pair) => mpps(looked, pair).toFixed(2)).join(" + ") : "left out";
    say(
      `${i + 1} of ${pairs}: closed ${rates(round.closed)}, open ${rates(round.open)}, closed ${rates(round.closedAgain)} Mpps`,
    );
  }
  if (taken.length === 0)
    throw new Error("every round was disturbed: the machine is busy; try --nice=-20, or --stall 50");
  const lines = [0, 2].slice(0, ports / 2).flatMap((port, pair) => {
    const rate = spreadOf(taken.map(({ closed }) => mpps(closed, pair))).median;
    return [
      `port ${port} to port ${port + 1}, ${rate.toFixed(2)} Mpps when closed:`,
      costs("of the rate", taken, (looked) => windowOf(looked, pair, false)),
      costs("of the worker's own time", taken, (looked) => windowOf(looked, pair, true)),
    ];
  });
  const main = (which: "closed" | "open") => spreadOf(taken.map((round) => 1000 * round[which].mainSeconds)).median;
  const all = pairs * count * seconds * (1 + WARM_UP);
  const each = { events: sums.events / all, bytes: sums.bytes / all, passed: sums.passed / all };
  const { cpu } = describeEnvironment(false);
  process.stdout.write(
    [
      `${name} (${count}) open against closed, ${size} B through one worker, ${taken.length} of ${pairs} rounds of ${seconds} s windows, ${cpu}`,
      ...lines,
      `main thread: ${main("closed").toFixed(1)} ms of CPU a second when closed, ${main("open").toFixed(1)} ms when open`,
      `each reader was given ${given(each)} a second`,
      "",
    ].join("\n"),
  );
}

interface Round {
  closed: Looked;
  open: Looked;
  closedAgain: Looked;
}

/** All three windows were taken, and the cores were equally near in them. */
function isComparable({ closed, open, closedAgain }: Round): boolean {
  const couples = [
    [open, closed],
    [open, closedAgain],
    [closedAgain, closed],
  ] as const;
  return couples.every(([one, other]) => ratioOf(one.window, other.window).length === 1);
}

/** Median and quartiles of what being open costs, and of what two windows of the same kind differ by: the machine. */
function costs(of: string, rounds: readonly Round[], windowOf: (looked: Looked) => WindowResult): string {
  const ratio = (one: Looked, other: Looked) => ratioOf(windowOf(one), windowOf(other))[0]!.ratio;
  const open = rounds.map(
    (round) => 2 / (1 / ratio(round.open, round.closed) + 1 / ratio(round.open, round.closedAgain)),
  );
  const control = rounds.map((round) => ratio(round.closedAgain, round.closed));
  const text = (ratios: readonly number[]) => percent(spreadOf(ratios.map((each) => 100 * (1 - each))));
  return `  costs ${text(open)} ${of}; closed against closed ${text(control)}`;
}

/** What one pair of ports received, by second or by second of CPU time of the switch's threads but its main one. */
function windowOf({ window, received, mainSeconds }: Looked, pair: number, ofWorker: boolean): WindowResult {
  const { seconds: wall, cpuSeconds } = window!;
  return {
    ...window!,
    received: received[pair]!,
    seconds: ofWorker ? (cpuSeconds ?? wall) - mainSeconds * wall : wall,
  };
}

function mpps({ window, received }: Looked, pair: number): number {
  return received[pair]! / window!.seconds / 1e6;
}

function percent({ median, low, high }: { median: number; low: number; high: number }): string {
  return `${median.toFixed(1)} % (${low.toFixed(1)} to ${high.toFixed(1)})`;
}

async function startSwitch(): Promise<{ child: ChildProcess; url: string; sockets: string[]; control: string }> {
  const sockets = Array.from({ length: ports }, (_, i) => join(folder, `port${i}`));
  const control = join(folder, "control");
  const words = ["--control", control, "run", "--poll", "--log-level", "warn"];
  words.push("--web", "127.0.0.1:0", "--web-token", TOKEN);
  for (const [i, path] of sockets.entries()) words.push("--port", `port${i}=listen:${path}`);
  const child = fork(builtFile("src/cli/demo-switch.js"), words, { stdio: ["ignore", "pipe", "inherit", "ipc"] });
  endings.push(async () => {
    if (child.exitCode !== null) return;
    child.disconnect();
    await once(child, "exit");
  });
  let output = "";
  for await (const piece of child.stdout!) {
    output += String(piece);
    if (output.includes(" is ready")) break;
  }
  const url = /^live page: (\S+)/m.exec(output)?.[1];
  if (url === undefined) throw new Error(`the switch did not start: ${output}`);
  return { child, url, sockets, control };
}

function startClient(): ChildProcess {
  const client = fork(join(import.meta.dirname, "client.js"));
  pinProcess(client.pid!, [cpus[1]]);
  endings.push(async () => {
    if (client.exitCode !== null) return;
    client.disconnect();
    await once(client, "exit");
  });
  return client;
}

async function ask(client: ChildProcess, order: ClientOrder): Promise<ClientAnswer> {
  client.send(order);
  const [answer] = (await once(client, "message")) as [ClientAnswer];
  return answer;
}

/** CPU seconds of the first thread of a process: Node's main thread. */
function mainThreadSeconds(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e9;
}

function say(text: string): void {
  process.stderr.write(`bench:cost: ${text}\n`);
}
