// The demo: a real switch and two real guests, all processes of their own, and what their counters amount to.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { SwitchStatus } from "../../src/api/status.js";
import { runDemo } from "../../src/cli/demo.js";
import type { LabSample } from "../../src/cli/demo-lab.js";
import { directions, isClean, uncounted } from "../../src/cli/demo-result.js";
import { liveLine, liveTable, summary } from "../../src/cli/demo-view.js";
import type { LiveState } from "../../src/web/live.js";
import { builtFile } from "../../src/guest/children.js";
import { describeLinux } from "../sys/linux.js";
import { FakeIo } from "./fake-io.js";

const CLEAN = { corrupt: 0, foreign: 0, lost: 0, duplicates: 0, reordered: 0, stale: 0 };

/** A sample of a demo in which both guests have sent `sent` frames of 100 bytes, and vm2 has received `received`. */
function sample(
  atMs: number,
  sent: number,
  received: Partial<Record<keyof typeof CLEAN | "frames", number>>,
  drops = 0,
) {
  const guest = (frames: number, faults: object) => ({
    kind: "counters" as const,
    atMs,
    sending: true,
    latencies: Array.from({ length: 256 }, () => 0),
    counters: {
      sent: { frames: sent, bytes: sent * 100 },
      received: { ...CLEAN, frames, bytes: frames * 100, ...faults },
      pending: 0,
    },
  });
  const queue = (index: number, count: number) => ({
    index,
    kind: index % 2 === 0 ? "receiveq" : "transmitq",
    drops: count > 0 ? { "no-rx-buffer": count } : {},
  });
  const ports = [
    { name: "vm1", queues: [queue(0, 0), queue(1, 0)] },
    { name: "vm2", queues: [queue(0, drops), queue(1, 0)] },
  ];
  const guests = [guest(sent, {}), guest(received.frames ?? sent, received)];
  return { guests, status: { ports } as unknown as SwitchStatus } satisfies LabSample;
}

const NAMES = ["vm1", "vm2"];
const START = sample(1000, 0, {});

describe("the account of every frame", () => {
  test("rates are those between two samples, drops belong to the direction of their queue", () => {
    const [there, back] = directions(NAMES, START, sample(3000, 5000, { frames: 4990 }, 10));
    expect(there).toMatchObject({ from: "vm1", to: "vm2", sent: 5000, received: 4990, dropped: 10 });
    expect(there).toMatchObject({ sentPerSecond: 2500, receivedPerSecond: 2495, bitsPerSecond: 2495 * 800 });
    expect(there!.drops).toEqual({ "no-rx-buffer": 10 });
    expect(back).toMatchObject({ from: "vm2", to: "vm1", sent: 5000, received: 5000, dropped: 0, drops: {} });
    expect(isClean([there!, back!])).toBe(true);
    expect(there!.latencyUs).toBeUndefined();
  });

  test.each([
    ["1 unaccounted for", { frames: 4999 }, 1],
    ["1 unaccounted for", { frames: 5001 }, -1],
    ["1 changed", { frames: 5000, corrupt: 1 }, 0],
    ["1 unaccounted for, 1 doubled", { frames: 5000, duplicates: 1 }, 1],
    ["2 doubled", { frames: 5002, duplicates: 1, stale: 1 }, 0],
    ["3 out of order", { frames: 5000, reordered: 3 }, 0],
    ["2 unaccounted for", { frames: 5000, foreign: 2 }, 2],
  ])("%s: the verdict says so", (text, received, missing) => {
    const list = directions(NAMES, START, sample(3000, 5000, received));
    expect(uncounted(list[0]!)).toBe(missing);
    expect(isClean(list)).toBe(false);
    expect(summary(2, "test frames", list)).toContain(`FAILED: ${text}. That must never be`);
  });

  test("a clean run, as table, line and summary", () => {
    const list = directions(NAMES, START, sample(3000, 5000, { frames: 4990 }, 10));
    expect(liveTable(list).split("\n")).toEqual([
      "FLOW             SENT   RECEIVED         BITS  P50  P99  DROPPED  WRONG",
      "vm1 -> vm2  2.50 kpps  2.50 kpps  2.00 Mbit/s    -    -       10      0",
      "vm2 -> vm1  2.50 kpps  2.50 kpps  2.00 Mbit/s    -    -        0      0",
    ]);
    expect(liveLine(2, list)).toBe(
      "   2 s  vm1 -> vm2 2.50 kpps 2.00 Mbit/s, 10 dropped, 0 wrong  |  " +
        "vm2 -> vm1 2.50 kpps 2.00 Mbit/s, 0 dropped, 0 wrong",
    );
    const text = summary(2, "test frames", list);
    expect(text).toContain("2.0 s of test frames both ways, every byte checked:");
    expect(text).toContain("10 dropped: no-rx-buffer. The receiving guest had no free receive buffer.");
    expect(text).toContain("Sent = received + dropped:");
  });
});

function leftFolders(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith("ringbridge-demo-"));
}

/** Process ids that the demo printed. */
function pids(output: string): number[] {
  const line = /switch: process (\d+); vm1: process (\d+); vm2: process (\d+)/.exec(output)!;
  return line.slice(1).map(Number);
}

/** A process that has ended may stay a zombie where nobody waits for orphans. */
function runs(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

describeLinux("the demo", () => {
  test("as JSON: one object, every frame accounted for, nothing left behind", async () => {
    const io = new FakeIo();
    const before = leftFolders();
    expect(await runDemo({ seconds: 1, json: true, size: 256, workers: 1 }, io)).toBe(0);
    const result = JSON.parse(io.out);
    expect(result).toMatchObject({ ok: true, size: 256, workers: 1 });
    expect(result.sent).toBeGreaterThan(100);
    const dropped = Object.values<number>(result.drops).reduce((sum, count) => sum + count, 0);
    expect(result.received + dropped).toBe(result.sent);
    expect(result.directions).toHaveLength(2);
    for (const each of result.directions) {
      expect(each).toMatchObject({ uncounted: 0, corrupt: 0, duplicates: 0, reordered: 0 });
      expect(each.latencyUs.p99).toBeGreaterThanOrEqual(each.latencyUs.p50);
    }
    expect(leftFolders()).toEqual(before);
    expect(io.listeners()).toBe(0);
  });

  test("on a terminal it redraws until Ctrl-C, and ends with the summary", async () => {
    const io = new FakeIo();
    io.stdout.isTTY = true;
    const done = runDemo({ web: true }, io);
    await io.until(() => io.out.includes("\x1b["));
    // A page of the switch, with what may look at it.
    const [, page, token] = /^Live page: (\S+)#token=(\w+)$/m.exec(io.out)!;
    const answer = await fetch(`${page}v1/state`, { headers: { authorization: `Bearer ${token}` } });
    expect(((await answer.json()) as LiveState).ports.map(({ name }) => name)).toEqual(NAMES);
    io.signals.emit("SIGINT");
    expect(await done).toBe(0);
    expect(io.out).toContain("RECEIVED  frames a second that the other guest took");
    expect(io.out).toMatch(/Sent = received \+ dropped: every frame arrived whole.*\n$/);
    expect(pids(io.out).filter(runs)).toEqual([]);
  });

  test("a switch that dies is said, and the guests end", async () => {
    const io = new FakeIo();
    const before = leftFolders();
    const done = runDemo({ seconds: 60 }, io);
    done.catch(() => {});
    await io.until(() => io.out.includes("Mbit/s") || io.out.includes("Gbit/s"));
    process.kill(pids(io.out)[0]!, "SIGKILL");
    await expect(done).rejects.toThrow("the switch ended unexpectedly (SIGKILL)");
    expect(pids(io.out).filter(runs)).toEqual([]);
    expect(leftFolders()).toEqual(before);
  });

  test("when the demo itself is killed, switch and guests end by themselves", async () => {
    const before = leftFolders();
    const demo = spawn(process.execPath, [builtFile("src/cli/main.js"), "demo", "--seconds", "60"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    for await (const text of demo.stdout.setEncoding("utf8")) {
      output += text;
      if (output.includes("Ctrl-C ends.")) break;
    }
    demo.kill("SIGKILL");
    if (demo.exitCode === null && demo.signalCode === null) await once(demo, "exit");
    while (pids(output).some(runs)) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const folder of leftFolders().filter((name) => !before.includes(name))) {
      rmSync(join(tmpdir(), folder), { recursive: true });
    }
  });
});
