// An agent and a switch with 200 ports that are added, changed and removed at random: the switch always comes to what the
// files say, and guests on ports that do not change lose no frame. RINGBRIDGE_CHURN_SECONDS=60 does so for a minute.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Agent } from "../../src/agent/agent.js";
import { FolderSource } from "../../src/agent/folder-source.js";
import { type AgentState, StateFile } from "../../src/agent/state-file.js";
import { ControlClient } from "../../src/api/control-client.js";
import type { PortStatus } from "../../src/api/status.js";
import { Random } from "../../src/testing/random.js";
import { type PortOptions, portFile, portName, replaceFile } from "../agent/port-files.js";
import { describeLinux } from "../sys/linux.js";
import { HandGuest, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { Pair } from "./support/traffic.js";

const PORTS = 200;
/** The first of them have guests and are not touched. */
const STEADY = 8;
/** Far more than it takes, so that only what never comes fails. */
const LIMIT_MS = 240_000;
const LOOK_MS = 200;
const SECONDS = Number(process.env.RINGBRIDGE_CHURN_SECONDS ?? 5);

let lab: Lab;
let stop: AbortController;
let running: Promise<void> | undefined;
const guests: HandGuest[] = [];
const pairs: Pair[] = [];
/** What there should be: what was last written and made sense. */
const wanted = new Map<number, PortOptions>();

const path = (i: number) => lab.file(`ports/${i}.json`);
const state = (): AgentState => JSON.parse(readFileSync(lab.file("state.json"), "utf8"));

function put(i: number, options: PortOptions = {}): void {
  replaceFile(path(i), portFile(i, { folder: lab.path, ...options }));
  wanted.set(i, options);
}

function start(): void {
  stop = new AbortController();
  const agent = new Agent({
    ...{ source: new FolderSource(lab.file("ports")), switch: new ControlClient(lab.file("control")), owner: "agent" },
    ...{ state: new StateFile(lab.file("state.json")), emit: () => {}, intervalMs: 250, access: {}, folders: [] },
  });
  running = agent.run(stop.signal);
}

async function end(): Promise<void> {
  stop.abort();
  await running;
}

beforeEach(async () => {
  lab = new Lab();
  mkdirSync(lab.file("ports"));
  wanted.clear();
  await lab.start([], ["--empty"]);
  start();
});

afterEach(async () => {
  for (const guest of guests.splice(0)) guest.close();
  for (const pair of pairs.splice(0)) pair.release();
  await end();
  await lab.close();
});

/** Waits until the switch has just the ports that it should, as they should be. */
async function converged(): Promise<Map<string, PortStatus>> {
  const expected = [...wanted].map(([i, { mtu, port }]) => [portName(i), mtu, port?.admin_state_up !== false]);
  const sorted = JSON.stringify(expected.sort());
  const end = performance.now() + LIMIT_MS;
  while (performance.now() < end) {
    const { ports } = await lab.control.status();
    const now = ports.map(({ name, mtu, adminStateUp }) => [name, mtu, adminStateUp]);
    if (JSON.stringify(now.sort()) === sorted) return new Map(ports.map((port) => [port.name, port]));
    // A status of 200 ports costs the switch something: it has other things to do now.
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new Error(`the ${expected.length} ports that there should be never came: ${JSON.stringify(state().refused)}`);
}

describeLinux("an agent beside a switch", () => {
  test(
    `${PORTS} ports added, changed and removed at random for ${SECONDS} s`,
    async () => {
      const random = new Random(Number(process.env.RINGBRIDGE_SEED ?? 7));
      const one = (count: number) => random.integer(0, count - 1);
      for (let i = 0; i < PORTS; i++) put(i);
      await converged();
      for (let i = 0; i < STEADY; i += 2) {
        pairs.push((await Pair.attach(lab, [`p${i}`, `p${i + 1}`], i + 1)).go());
      }
      const deadline = performance.now() + SECONDS * 1000;
      let [changes, checks] = [0, 0];
      while (performance.now() < deadline || checks === 0) {
        const torn = new Set<number>();
        for (let burst = one(40); burst >= 0; burst--, changes++) {
          const i = STEADY + one(PORTS - STEADY);
          switch (one(6)) {
            case 0:
              rmSync(path(i), { force: true });
              wanted.delete(i);
              break;
            case 1:
              // Half of a file that is overwritten; it is whole again before the burst is over.
              writeFileSync(path(i), JSON.stringify(portFile(i)).slice(0, one(200)));
              torn.add(i);
              break;
            case 2:
              put(i, { mtu: 1000 + one(500) });
              break;
            case 3:
              put(i, { port: { admin_state_up: one(2) === 0 } });
              break;
            case 4:
              put(i, { mode: "server" });
              break;
            default:
              put(i);
          }
          if (one(8) === 0) await new Promise((resolve) => setTimeout(resolve, one(5)));
        }
        for (const i of torn) {
          if (wanted.has(i)) put(i, wanted.get(i));
          else rmSync(path(i), { force: true });
        }
        await converged();
        checks++;
      }
      const ports = await converged();
      for (const pair of pairs) await pair.settle();
      for (let i = 0; i < STEADY; i++) {
        expect(ports.get(portName(i))).toMatchObject({ connections: 1, drops: {}, wired: true });
      }
      const frames = pairs.reduce((sum, { arrived }) => sum + arrived, 0);
      console.log(`${changes} changes, ${checks} times at rest, ${frames} frames of ${STEADY} guests, none lost`);
      expect(changes).toBeGreaterThan(10);
      await until("the agent's word that all is there", () => {
        const { converged, ports } = state();
        return (converged && ports.length === wanted.size) || undefined;
      });
    },
    LIMIT_MS + SECONDS * 10_000,
  );

  test("agent, switch and guest end and start in any order", async () => {
    for (const i of [0, 1]) put(i);
    await converged();
    const attach = async (i: number) => {
      const guest = new HandGuest();
      guests.push(guest);
      await guest.start(lab.file(`p${i}`));
      return guest;
    };
    const wired = (i: number) => until(`port ${i} to be wired`, () => state().ports[i]?.state === "wired" || undefined);
    let [a, b] = [await attach(0), await attach(1)];
    await pass(a, b, 1);
    await wired(0);
    await wired(1);
    // The agent: traffic goes on, and what changed meanwhile is found.
    await end();
    put(2);
    await pass(a, b, 2);
    start();
    await converged();
    await pass(b, a, 3);
    // The guest.
    b.close();
    guests.splice(guests.indexOf(b), 1);
    await until("the port to wait", () => state().ports[1]?.state === "waiting" || undefined);
    b = await attach(1);
    await wired(1);
    await pass(a, b, 4);
    // The switch, at once: it comes back without a port, and gets all of them.
    await lab.stop("SIGKILL");
    await until("the agent to miss it", () => state().switch.reachable === false || undefined);
    put(3);
    await lab.start([], ["--empty"]);
    await converged();
    [a, b] = [await attach(0), await attach(1)];
    await pass(a, b, 5);
    // Both, the switch last.
    await end();
    await lab.stop("SIGKILL");
    start();
    await until("the agent to miss it", () => state().switch.reachable === false || undefined);
    await lab.start([], ["--empty"]);
    await converged();
    [a, b] = [await attach(0), await attach(1)];
    await pass(a, b, 6);
    await wired(0);
  });
});
