// The agent beside a switch that is nothing but its ports: whatever ends and starts, in whatever order, it converges.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Agent, type AgentEvent, type AgentOptions } from "../../src/agent/agent.js";
import { FolderSource } from "../../src/agent/folder-source.js";
import { type AgentState, StateFile } from "../../src/agent/state-file.js";
import { ControlClient } from "../../src/api/control-client.js";
import { main } from "../../src/cli/program.js";
import { PortSwitch } from "../api/port-switch.js";
import { FakeIo } from "../cli/fake-io.js";
import { portFile, portId, portName, replaceFile } from "./port-files.js";

let folder: string;
let ports: PortSwitch | undefined;
let events: AgentEvent[];
const file = (name: string) => join(folder, name);
const put = (i: number, ...more: Parameters<typeof portFile> extends [number, ...infer Rest] ? Rest : never) =>
  replaceFile(file(`ports/${i}.json`), portFile(i, ...more));
const drop = (i: number) => rmSync(file(`ports/${i}.json`));
const names = () => [...ports!.configs.keys()].sort();

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-agent-"));
  mkdirSync(file("ports"));
  events = [];
  ports = await PortSwitch.start(file("control"));
});
afterEach(async () => {
  await ports?.close();
  rmSync(folder, { recursive: true });
});

function agent(more: Partial<AgentOptions> = {}): Agent {
  return new Agent({
    ...{ source: new FolderSource(file("ports")), switch: new ControlClient(file("control")), owner: "agent" },
    ...{ state: new StateFile(file("state.json")), emit: (event) => events.push(event), intervalMs: 50 },
    ...{ access: {}, folders: [], ...more },
  });
}

const state = (): AgentState => JSON.parse(readFileSync(file("state.json"), "utf8"));
const states = () => Object.fromEntries(state().ports.map(({ name, state }) => [name, state]));

describe("round by round", () => {
  test("ports come, change and go, and nothing is asked twice", async () => {
    put(1);
    put(2, { mtu: 1500 });
    const one = agent();
    await one.round();
    expect(names()).toEqual([portName(1), portName(2)]);
    expect(state()).toMatchObject({ version: 1, owner: "agent", converged: true, refused: [] });
    expect(states()).toEqual({ [portName(1)]: "waiting", [portName(2)]: "waiting" });
    expect(events.map(({ event }) => event)).toEqual([
      ...["source", "switch", "added", "added", "state", "state", "converged"],
    ]);
    events.length = 0;
    await one.round();
    expect([ports!.changes.length, events]).toEqual([2, []]);
    put(2, { mtu: 9000, port: { admin_state_up: false } });
    drop(1);
    await one.round();
    expect(events).toEqual([
      { event: "removed", port: portName(1), id: portId(1) },
      { event: "changed", port: portName(2), id: portId(2), live: true },
      { event: "state", port: portName(2), id: portId(2), from: "waiting", to: "down" },
    ]);
    expect([...ports!.configs.values()]).toMatchObject([{ name: portName(2), mtu: 9000, adminStateUp: false }]);
  });

  test("a guest's state is reported as it changes", async () => {
    put(1);
    const one = agent();
    await one.round();
    for (const [change, to] of [
      [{ state: "connected" }, "connected"],
      [{ state: "running", wired: true }, "wired"],
      [{ state: "waiting", wired: false }, "waiting"],
    ] as const) {
      Object.assign(ports!.ports[0]!, change);
      await one.round();
      expect(states()).toEqual({ [portName(1)]: to });
      expect(events.at(-1)).toMatchObject({ event: "state", port: portName(1), to });
    }
  });

  test("what is refused is named once, the others are applied, and what a place said before goes on", async () => {
    put(1);
    put(2);
    const one = agent();
    await one.round();
    events.length = 0;
    writeFileSync(file("ports/1.json"), '{"port": {"id": "0000');
    replaceFile(file("ports/3.json"), portFile(3, { details: { vhostuser_socket: "/run/vm/../p" } }));
    replaceFile(file("ports/4.json"), portFile(4, { port: { mac_address: "fa:16:3e:00:00:02" } }));
    put(5);
    await one.round();
    await one.round();
    expect(names()).toEqual([portName(1), portName(2), portName(5)]);
    const refused = events.flatMap((event) => (event.event === "refused" ? [event.from] : []));
    expect(refused).toEqual(["1.json", "3.json", "4.json"]);
    expect(state().converged).toBe(false);
    expect(state().refused).toHaveLength(3);
    events.length = 0;
    put(1, { mtu: 2000 });
    drop(3);
    put(4);
    await one.round();
    expect(events.filter(({ event }) => event === "accepted")).toEqual([
      { event: "accepted", from: "1.json" },
      { event: "accepted", from: "4.json" },
    ]);
    expect(names()).toEqual([1, 2, 4, 5].map(portName));
    expect([state().converged, state().refused]).toEqual([true, []]);
  });

  test("a socket that cannot be had does not hold up the others, and is tried again", async () => {
    for (const i of [1, 2, 3]) put(i);
    ports!.taken.add("/run/vm/p2");
    const one = agent();
    await one.round();
    expect(states()).toEqual({ [portName(1)]: "waiting", [portName(2)]: "failed", [portName(3)]: "waiting" });
    expect(state().ports[1]!.reason).toMatch(/process 1 listens here/);
    expect(state().converged).toBe(false);
    ports!.taken.clear();
    // What the file says anew is tried at once, whatever was waited for.
    put(2, { mtu: 1500 });
    await one.round();
    expect(states()[portName(2)]).toBe("waiting");
    expect(events.at(-1)).toEqual({ event: "converged", ports: 3 });
  });

  test("two that change sockets with each other", async () => {
    for (const i of [1, 2, 3]) put(i);
    const one = agent();
    await one.round();
    put(1, { details: { vhostuser_socket: "/run/vm/p2" } });
    put(2, { details: { vhostuser_socket: "/run/vm/p1" } });
    ports!.changes.length = 0;
    await one.round();
    expect([...ports!.configs.values()].map(({ name, path }) => [name, path]).sort()).toEqual([
      [portName(1), "/run/vm/p2"],
      [portName(2), "/run/vm/p1"],
      [portName(3), "/run/vm/p3"],
    ]);
    expect(ports!.changes).not.toContain(`+${portName(3)}`);
    expect(state().converged).toBe(true);
  });

  test("ports of others, and of the switch's configuration, are left alone", async () => {
    await ports!.plug(portName(9), { listen: "/run/9" }, "somebody");
    await ports!.plug(portName(1), { listen: "/run/1" }, "somebody");
    put(1);
    put(2);
    const one = agent();
    await one.round();
    expect(names()).toEqual([1, 2, 9].map(portName));
    expect(state().ports[0]).toMatchObject({ state: "failed", reason: expect.stringMatching(/plugged by "somebody"/) });
  });

  test("a state file that cannot be written is said, and the ports are kept all the same", async () => {
    put(1);
    const one = agent({ state: new StateFile(file("none/state.json")) });
    await one.round();
    await one.round();
    expect(names()).toEqual([portName(1)]);
    expect(events.filter(({ event }) => event === "state-file")).toEqual([
      { event: "state-file", fault: expect.stringMatching(/state\.json cannot be written: ENOENT/) },
    ]);
  });
});

describe("whatever ends and starts again", () => {
  test("the switch: it gets all its ports anew", async () => {
    for (const i of [1, 2]) put(i);
    const one = agent();
    await one.round();
    await ports!.close();
    events.length = 0;
    put(3);
    await one.round();
    expect(states()).toEqual({ [portName(1)]: "unknown", [portName(2)]: "unknown", [portName(3)]: "unknown" });
    expect(state().switch).toMatchObject({ reachable: false, reason: expect.stringMatching(/no switch runs here/) });
    ports = await PortSwitch.start(file("control"));
    await one.round();
    expect(names()).toEqual([1, 2, 3].map(portName));
    expect(events.at(-1)).toEqual({ event: "converged", ports: 3 });
  });

  test("the agent: what went meanwhile goes, what stayed is not disturbed", async () => {
    for (const i of [1, 2]) put(i);
    await agent().round();
    drop(1);
    put(3);
    ports!.changes.length = 0;
    await agent().round();
    expect(ports!.changes).toEqual([`-${portName(1)}`, `+${portName(3)}`]);
  });

  test("the agent, while a file is half-written: its port stays", async () => {
    for (const i of [1, 2]) put(i);
    await agent().round();
    writeFileSync(file("ports/1.json"), "{");
    ports!.changes.length = 0;
    await agent().round();
    expect([ports!.changes, names()]).toEqual([[], [1, 2].map(portName)]);
  });

  test("the agent, when there is no source any more: nothing is taken away", async () => {
    put(1);
    await agent().round();
    rmSync(file("ports"), { recursive: true });
    await agent().round();
    expect(names()).toEqual([portName(1)]);
    // Not even when it does not know what there was.
    rmSync(file("state.json"));
    await agent().round();
    expect(names()).toEqual([portName(1)]);
    expect(state().source.fault).toMatch(/ENOENT/);
    mkdirSync(file("ports"));
    await agent().round();
    expect(names()).toEqual([]);
  });

  test("another's state file is not overwritten", () => {
    writeFileSync(file("state.json"), '{"precious": true}');
    expect(() => agent()).toThrow(/is no state file of an agent/);
  });
});

describe("ringbridge agent", () => {
  const run = (args: string[], io = new FakeIo()) => ({
    io,
    code: main(["--control", file("control"), "agent", ...args], io),
  });
  const lines = (io: FakeIo): AgentEvent[] =>
    io.out
      .trimEnd()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));

  test("hears of changes, writes them as lines of JSON, and leaves the ports when it ends", async () => {
    put(1);
    const { io, code } = run(["--folder", file("ports"), "--state", file("state.json"), "--interval", "3600"]);
    await io.until(() => /"converged"/.test(io.out));
    put(2);
    await io.until(() => io.out.includes(`"added","port":"${portName(2)}"`));
    drop(1);
    await io.until(() => io.out.includes(`"removed","port":"${portName(1)}"`));
    io.signals.emit("SIGTERM");
    expect(await code).toBe(0);
    expect(io.listeners()).toBe(0);
    expect(names()).toEqual([portName(2)]);
    expect(lines(io)[0]).toMatchObject({ time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/), event: "source" });
    expect(state().ports).toHaveLength(1);
  });

  test("--once ends with 0 when all is there, else with 1", async () => {
    put(1);
    const { io, code } = run(["--folder", file("ports"), "--once"]);
    expect([await code, io.err]).toEqual([0, ""]);
    writeFileSync(file("list.yaml"), "- { port: 7 }\n");
    expect(await run(["--list", file("list.yaml"), "--once", "--owner", "other"]).code).toBe(1);
    expect(await run(["--snabb", file("ports"), "--host", "h", "--once", "--owner", "third"]).code).toBe(1);
    expect(names()).toEqual([portName(1)]);
  });

  test.each<[string[], RegExp]>([
    [[], /needs one source of ports/],
    [["--folder", "/a", "--list", "/b"], /needs one source of ports/],
    [["--folder", "/a", "--host", "x"], /--host goes with --snabb/],
    [["--folder", "/a", "--state", "/nonexistent/x"], /the folder \/nonexistent does not exist/],
    [["--folder", "/a", "--socket-folder", "x"], /must be absolute/],
    [["--folder", "/a", "--interval", "0"], /It must be a number from 0\.05/],
  ])("%j is a mistake", async (args, reason) => {
    const { io, code } = run(args);
    expect([await code, io.out]).toEqual([2, ""]);
    expect(io.err).toMatch(reason);
  });
});
