// `ringbridge run` with a made-up switch: start, signals, reload, and every way to fail.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ControlClient } from "../../src/api/control-client.js";
import type { ReloadResult } from "../../src/api/status.js";
import { type RunOptions, runCommand, type StartSwitch } from "../../src/cli/run.js";
import { diffConfig } from "../../src/config/diff.js";
import type { SwitchConfig } from "../../src/config/schema.js";
import { FakeControl } from "../api/fake-control.js";
import { FakeIo } from "./fake-io.js";

/** Remembers what it was started with and what was applied. */
class FakeSwitch extends FakeControl {
  applied: SwitchConfig[] = [];
  stops = 0;
  options: Parameters<StartSwitch>[2] = {};
  applyFault: Error | undefined;
  stopGate: Promise<void> = Promise.resolve();

  constructor(public config: SwitchConfig) {
    super();
  }

  async applyConfig(config: SwitchConfig): Promise<ReloadResult> {
    if (this.applyFault) throw this.applyFault;
    const { needsRestart: _, ...result } = diffConfig(this.config, config);
    this.applied.push(config);
    this.config = config;
    return result;
  }

  async setPort(): Promise<never> {
    throw new Error("nobody plugs here");
  }

  async removePort(): Promise<boolean> {
    return false;
  }

  async stop(): Promise<void> {
    await this.stopGate;
    this.stops++;
  }
}

let folder: string;
let file: string;
let control: string;
let io: FakeIo;
let fake: FakeSwitch | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-run-"));
  file = join(folder, "net.yaml");
  control = join(folder, "control.sock");
  io = new FakeIo();
  fake = undefined;
});
afterEach(() => rmSync(folder, { recursive: true }));

const startFake: StartSwitch = async (config, _log, options) => {
  fake = new FakeSwitch(config);
  fake.options = options;
  return fake;
};

function run(options: Partial<RunOptions> = {}, start = startFake): Promise<number> {
  return runCommand({ config: file, logLevel: "info", ...options }, io, start);
}

function write(text: string): void {
  writeFileSync(file, `control: ${control}\n${text}`);
}

const ready = () => io.until(() => io.out.includes("is ready"));

describe("a switch that runs", () => {
  it("says where it listens, answers, and stops at SIGTERM without leaving anything", async () => {
    write("ports:\n  vm1: { listen: vm1.sock }\n  vm2: { connect: /run/vm2.sock }\n");
    const running = run();
    await ready();
    const [first, second, third] = io.out.split("\n");
    expect(first).toBe(`vm1: listening on ${folder}/vm1.sock`);
    expect(second).toBe("vm2: connecting to /run/vm2.sock");
    expect(third).toMatch(new RegExp(`^ringbridge \\S+ is ready, control socket ${control}$`));
    expect((await new ControlClient(control).status()).version).toBe("1.2.3");

    io.signals.emit("SIGTERM");
    expect(await running).toBe(0);
    expect(fake?.stops).toBe(1);
    expect(existsSync(control)).toBe(false);
    expect(io.listeners()).toBe(0);
    expect(io.exits).toEqual([]);
    expect(io.err).toMatch(/info {2}stopping\n.*info {2}stopped\n$/);
  });

  it("takes everything from flags", async () => {
    const port = [`a=listen:${folder}/a.sock,queues=2`];
    const running = run({ config: undefined, port, control, workers: 3, poll: true, record: "/r", logLevel: "silent" });
    await ready();
    expect(fake?.config).toMatchObject({ workers: 3, poll: true, control, ports: [{ name: "a", queues: 2 }] });
    expect(fake?.options).toEqual({ record: "/r" });
    io.signals.emit("SIGINT");
    expect(await running).toBe(0);
    expect(io.err).toBe("");
  });

  it("follows QEMU's conventions: capabilities as JSON and nothing else, sockets by their paths", async () => {
    expect(await run({ config: "/nowhere", printCapabilities: true })).toBe(0);
    expect(JSON.parse(io.out)).toEqual({ type: "net" });
    expect(fake).toBeUndefined();
    const running = run({ config: undefined, socketPath: [`${folder}/vm1.sock`, `${folder}/vm2.sock`], control });
    await ready();
    expect(fake?.config.ports.map(({ name, path }) => [name, path])).toEqual([
      ["vm1", `${folder}/vm1.sock`],
      ["vm2", `${folder}/vm2.sock`],
    ]);
    io.signals.emit("SIGTERM");
    expect(await running).toBe(0);
  });

  it("ends at once at the second signal", async () => {
    write("");
    const running = run();
    await ready();
    let open: () => void = () => {};
    fake!.stopGate = new Promise((resolve) => {
      open = resolve;
    });
    io.signals.emit("SIGINT");
    await io.until(() => io.err.includes("stopping"));
    expect(io.exits).toEqual([]);
    io.signals.emit("SIGINT");
    expect(io.exits).toEqual([1]);
    open();
    await running;
  });

  it("heeds a signal that comes while it starts", async () => {
    write("");
    const running = run({}, async (config, log, options) => {
      io.signals.emit("SIGTERM");
      io.signals.emit("SIGHUP");
      return startFake(config, log, options);
    });
    expect(await running).toBe(0);
    expect(fake?.stops).toBe(1);
    expect(existsSync(control)).toBe(false);
  });
});

describe("reading the configuration again", () => {
  const hangup = async (until: string) => {
    io.err = "";
    io.signals.emit("SIGHUP");
    await io.until(() => io.err.includes(until));
  };

  it("applies ports, and names what needs a restart", async () => {
    write("ports: { a: { listen: /a }, b: { listen: /b } }\n");
    const running = run();
    await ready();
    write("workers: 4\nports: { b: { listen: /b2 }, c: { listen: /c } }\n");
    await hangup("only a restart");
    expect(io.err).toContain(`info  read ${file} again: added c; removed a; changed b\n`);
    expect(io.err).toContain(`warn  workers changed in ${file}, but only a restart can apply that: still as before\n`);
    expect(fake?.applied).toHaveLength(1);
    expect(fake?.config.workers).toBe(1);
    expect(fake?.config.ports.map(({ path }) => path)).toEqual(["/b2", "/c"]);
    io.signals.emit("SIGTERM");
    await running;
  });

  it("keeps the old one when the new one is wrong", async () => {
    write("ports: { a: { listen: /a } }\n");
    const running = run();
    await ready();
    write("ports: { a: { lisen: /a } }\nworkers: 0\n");
    await hangup("nothing was changed");
    expect(io.err).toContain(`error reload: ${file}:2:15: ports.a.lisen: unknown key (did you mean "listen"?)\n`);
    expect(io.err).toContain("error reload: nothing was changed, the old configuration stays\n");
    expect(fake?.applied).toEqual([]);

    await expect(new ControlClient(control).reload()).rejects.toThrow(
      'ports.a.lisen: unknown key (did you mean "listen"?)',
    );
    write("ports: { a: { listen: /a } }\n");
    expect(await new ControlClient(control).reload()).toEqual({
      added: [],
      removed: [],
      changed: [],
      unchanged: ["a"],
      needsRestart: [],
    });
    await io.until(() => io.err.includes("no port changed"));
    io.signals.emit("SIGTERM");
    await running;
  });

  it("reports a switch that cannot apply it", async () => {
    write("");
    const running = run();
    await ready();
    fake!.applyFault = new Error("/a: process 12 listens here");
    await hangup("error reload: /a: process 12 listens here\n");
    io.signals.emit("SIGTERM");
    expect(await running).toBe(0);
  });

  it("has nothing to read when there are only flags", async () => {
    const running = run({ config: undefined, port: ["a=listen:/a"], control });
    await ready();
    await hangup("error reload: there is no configuration file to read again: the switch was given flags\n");
    io.signals.emit("SIGTERM");
    await running;
  });
});

describe("a start that fails", () => {
  it("rejects with the switch's own words and gives the signals back", async () => {
    write("");
    const failing = run({}, () => Promise.reject(new Error("vm1.sock: process 7 listens here")));
    await expect(failing).rejects.toThrow("vm1.sock: process 7 listens here");
    expect(io.listeners()).toBe(0);
    expect(existsSync(control)).toBe(false);
  });

  it("stops the switch when the control socket is in use", async () => {
    write("");
    const first = run();
    await ready();
    const other = new FakeIo();
    let second: FakeSwitch | undefined;
    const starting = runCommand({ config: file, logLevel: "info" }, other, async (config) => {
      second = new FakeSwitch(config);
      return second;
    });
    await expect(starting).rejects.toThrow(`${control}: process ${process.pid} listens here`);
    expect(second?.stops).toBe(1);
    expect(other.out).toBe("");
    expect((await new ControlClient(control).version()).version).toBe("1.2.3");
    io.signals.emit("SIGTERM");
    await first;
  });
});
