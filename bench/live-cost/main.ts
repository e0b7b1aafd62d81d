// `npm run bench:live`: what it costs a switch under full load to be looked at. One switch, one generator, neighbouring
// windows in turns with the live page's streams open (state, and a snapshot of a ring four times a second) and closed.
// The switch's main thread and its worker share one core, so that whatever the main thread does is taken from the worker.

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
import { ratioOf } from "../../src/bench/method-rate.js";
import { spreadOf } from "../../src/bench/statistics.js";
import { announce, flatOut } from "../../src/bench/traffic-loops.js";
import { lanesOf, type Subject, takeWindow, type WindowResult } from "../../src/bench/window.js";
import { builtFile } from "../../src/guest/children.js";
import { pinProcess, pinThread, setThreadPriority } from "../../src/sys/affinity.js";
import type { ClientAnswer, ClientOrder } from "./client.js";

const TOKEN = "the-token-of-this-bench";
const SHAPE = {
  ports: 2,
  pairs: 1,
  queueSize: 256,
  ring: "split",
  segmentation: false,
  flows: 1,
  hugePages: false,
} as const;
const CLIENTS_MAX = 16;

const { values } = parseArgs({
  options: {
    pairs: { type: "string", default: "20" },
    seconds: { type: "string", default: "1" },
    size: { type: "string", default: "64" },
    clients: { type: "string", default: "1" },
    cpus: { type: "string", default: "0,1" },
    nice: { type: "string" },
    stall: { type: "string", default: "10" },
  },
});
const pairs = Number(values.pairs);
const seconds = Number(values.seconds);
const size = Number(values.size);
const clients = Math.min(CLIENTS_MAX, Number(values.clients));
const cpus = values.cpus.split(",").map(Number) as [number, number];
const nice = values.nice === undefined ? undefined : Number(values.nice);

const folder = mkdtempSync(join(tmpdir(), "ringbridge-live-cost-"));
const endings: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
try {
  await run();
} finally {
  for (const end of endings.reverse()) await end();
}

interface Looked {
  window: WindowResult | undefined;
  /** CPU time of the switch's main thread in a second of the window. */
  mainSeconds: number;
}

async function run(): Promise<void> {
  const { child, url, sockets } = await startSwitch();
  const spec = { kind: "sockets", name: "ringbridge", sockets, role: "connect", pid: child.pid! } as const;
  const backEnd = await BackEnd.start(spec, { ports: 2, pairs: 1, addresses: 1, workers: 1, poll: true });
  endings.push(() => backEnd.close());
  const viewers = Array.from({ length: clients }, () => startClient());
  backEnd.place(cpus[1], nice);
  pinThread([cpus[0]]);
  if (nice !== undefined) setThreadPriority(nice);
  const probe = await CoreProbe.start({ cpu: cpus[1], nice });
  endings.push(() => probe.close());
  const rig = await Rig.attach([backEnd.target(2)], { ...SHAPE, frameBytes: size });
  endings.push(() => rig.close());
  const subject: Subject = { backEnd, guests: rig.guests[0]!, driver: rig.driver };
  for (const queue of subject.guests.flatMap(({ transmitqs }) => transmitqs)) queue.setTraffic([size], false);
  announce(lanesOf(subject, "both-ways"), flowsOfGuest(SHAPE));

  const urls = [`${url}v1/live`, `${url}v1/ring?port=port0&queue=1`];
  const ns = seconds * 1e9;
  const plan = () => ({
    warmUp: (lanes: Parameters<typeof flatOut>[0]) => void flatOut(lanes, ns / 10),
    loop: (lanes: Parameters<typeof flatOut>[0]) => flatOut(lanes, ns),
  });
  const take = async (open: boolean): Promise<Looked> => {
    backEnd.resume();
    if (open) await Promise.all(viewers.map((viewer) => ask(viewer, { open: urls, token: TOKEN })));
    await setImmediate();
    const before = mainThreadSeconds(child.pid!);
    const window = takeWindow(subject, { probe, cpus, stallMs: Number(values.stall), direction: "one-way", plan });
    const mainSeconds = (mainThreadSeconds(child.pid!) - before) / (seconds * 1.1);
    backEnd.resume();
    if (open) {
      for (const answer of await Promise.all(viewers.map((viewer) => ask(viewer, { close: true })))) {
        if ("closed" in answer) [events, bytes] = [events + answer.events, bytes + answer.bytes];
      }
    }
    return { window: typeof window === "string" ? undefined : window, mainSeconds };
  };

  let [events, bytes] = [0, 0];
  const taken: { closed: Looked; open: Looked; closedAgain: Looked }[] = [];
  let left = 0;
  for (let i = 0; i < pairs; i++) {
    // The one between two of the other kind: what drifts in a second cancels out.
    const round = { closed: await take(false), open: await take(true), closedAgain: await take(false) };
    if (Object.values(round).every(({ window }) => window !== undefined)) taken.push(round);
    else left++;
    const rate = ({ window }: Looked) => (window ? (window.received / window.seconds / 1e6).toFixed(2) : "left out");
    say(
      `${i + 1} of ${pairs}: closed ${rate(round.closed)}, open ${rate(round.open)}, closed ${rate(round.closedAgain)} Mpps`,
    );
  }
  const ratios = taken.flatMap(({ closed, open, closedAgain }) => {
    const [before, after] = [ratioOf(open.window, closed.window), ratioOf(open.window, closedAgain.window)];
    return before.length === 1 && after.length === 1 ? [2 / (1 / before[0]!.ratio + 1 / after[0]!.ratio)] : [];
  });
  // What two windows with the page closed differ by says how much of that is the machine.
  const noise = taken.flatMap(({ closed, closedAgain }) =>
    ratioOf(closedAgain.window, closed.window).map(({ ratio }) => ratio),
  );
  if (ratios.length === 0)
    throw new Error("every window was disturbed: the machine is busy; try --nice -20, or --stall 50");
  const cost = spreadOf(ratios.map((ratio) => 100 * (1 - ratio)));
  const control = spreadOf(noise.map((ratio) => 100 * (1 - ratio)));
  const main = (which: "closed" | "open") => spreadOf(taken.map((round) => 1000 * round[which].mainSeconds)).median;
  const rate = spreadOf(taken.map(({ closed }) => closed.window!.received / closed.window!.seconds / 1e6)).median;
  const { cpu } = describeEnvironment(false);
  process.stdout.write(
    [
      `${size} B, ${rate.toFixed(1)} Mpps through one worker, ${clients} page${clients > 1 ? "s" : ""} looking, ${cpu}`,
      `cost of being looked at: ${percent(cost)} of the rate (median and quartiles of ${cost.windows} windows of ${seconds} s, ${left} left out)`,
      `closed against closed:   ${percent(control)}`,
      `main thread: ${main("closed").toFixed(2)} ms of CPU a second when nobody looks, ${main("open").toFixed(2)} ms when looked at`,
      `sent: ${(events / taken.length / seconds / clients).toFixed(1)} events and ${Math.round(bytes / taken.length / seconds / clients / 1000)} kB a second and page`,
      "",
    ].join("\n"),
  );
}

function percent({ median, low, high }: { median: number; low: number; high: number }): string {
  return `${median.toFixed(2)} % (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

async function startSwitch(): Promise<{ child: ChildProcess; url: string; sockets: string[] }> {
  const sockets = ["port0", "port1"].map((name) => join(folder, name));
  const words = ["--control", join(folder, "control"), "run", "--poll", "--log-level", "warn"];
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
  return { child, url, sockets };
}

function startClient(): ChildProcess {
  const client = fork(join(import.meta.dirname, "client.js"));
  pinProcess(client.pid!, [cpus[0]]);
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
  process.stderr.write(`bench:live: ${text}\n`);
}
