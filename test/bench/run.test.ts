// Short real runs: of ringbridge beside the null device, and of sockets that somebody else serves. Figures are only
// asked to be plausible; what must hold is that every frame is accounted for and that nothing is left behind.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, expect, test } from "vitest";
import type { BenchResult } from "../../src/bench/result.js";
import { main } from "../../src/cli/program.js";
import { builtFile } from "../../src/guest/children.js";
import { allowedCpus } from "../../src/sys/affinity.js";
import { countOpenFds } from "../../src/sys/open-fds.js";
import { FakeIo } from "../cli/fake-io.js";
import { SwitchFolder } from "../guest/support/switch-process.js";
import { describeLinux } from "../sys/linux.js";

const folder = mkdtempSync(join(tmpdir(), "bench-test-"));
const json = join(folder, "result.json");
// The benchmark's own folders lie in here, apart from those of other benchmarks on this machine.
const tmpBefore = process.env.TMPDIR;
process.env.TMPDIR = folder;
afterAll(() => {
  if (tmpBefore === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = tmpBefore;
  rmSync(folder, { recursive: true });
});

/** A machine that others use may disturb every window: here that is no reason to leave one out. */
const QUICK = ["--stall", "100000", "--duration", "0.02", "--windows", "3", "--json", json];

describeLinux("a run", () => {
  const cpus = allowedCpus();
  if (cpus.length < 2) {
    test("needs two CPUs", ({ skip }) => skip(`this process may use ${cpus.length} CPU, and a benchmark needs two`));
    return;
  }

  const folders: SwitchFolder[] = [];
  afterEach(async () => {
    for (const each of folders.splice(0)) await each.close();
  });

  async function bench(words: string[]): Promise<{ code: number; io: FakeIo; result: BenchResult }> {
    const io = new FakeIo();
    rmSync(json, { force: true });
    const code = await main(["bench", ...QUICK, ...words], io);
    if (!existsSync(json)) throw new Error(`no result: ${io.err}`);
    return { code, io, result: JSON.parse(readFileSync(json, "utf8")) as BenchResult };
  }

  test("of ringbridge and the null device, every method", { timeout: 120_000 }, async () => {
    const leftBefore = leftOvers();
    const words = ["--sizes", "64", "--methods", "mrr,ndr,pdr,loss,latency", "--self-test", "--reference", "null"];
    const html = join(folder, "result.html");
    const { code, io, result } = await bench([...words, "--html", html]);
    expect(code).toBe(0);
    expect(io.err).toMatch(/^This takes about \d+ s\./);
    expect(io.out).toContain("The generator against a null back-end:");
    expect(readFileSync(html, "utf8")).toContain("</html>");
    expect(result.wrong).toBe(0);
    const mrr = result.throughput.filter(({ method }) => method === "mrr");
    expect(new Set(mrr.map(({ backEnd }) => backEnd))).toEqual(new Set(["ringbridge", "null"]));
    for (const { framesPerSecond, bitsPerSecond, lossRatio } of mrr) {
      expect(framesPerSecond.median).toBeGreaterThan(0);
      expect(bitsPerSecond.median / framesPerSecond.median).toBeCloseTo(512, 3);
      expect(lossRatio).toBeGreaterThanOrEqual(0);
      expect(lossRatio).toBeLessThan(1);
    }
    expect(mrr.find(({ backEnd }) => backEnd === "ringbridge")!.cpuSecondsPerMillion).toBeGreaterThan(0);
    for (const { offered, received, unsent } of result.loss) {
      expect(received).toBeGreaterThan(0);
      // A window's end may find a ring of frames under way, that the next one counts: of 0.02 s that is not nothing.
      expect(received + unsent!).toBeLessThanOrEqual(offered * 1.01);
    }
    const single = result.latency.filter(({ load }) => load === "in-flight-1");
    expect(single.length).toBeGreaterThan(0);
    for (const { p50, p99, max } of result.latency) {
      expect(p99).toBeGreaterThanOrEqual(p50);
      expect(max).toBeGreaterThanOrEqual(p99);
    }
    expect(allowedCpus()).toEqual(cpus);
    expect(leftOvers()).toEqual(leftBefore);
  });

  test("of other sizes, flows, ports and queues", { timeout: 60_000 }, async () => {
    const words = [
      "--sizes",
      "imix,9000",
      "--flows",
      "300",
      "--ports",
      "4",
      "--directions",
      "both-ways",
      "--queues",
      "2",
    ];
    const { code, result } = await bench(words);
    expect(code).toBe(0);
    expect(new Set(result.throughput.map(({ frame }) => frame))).toEqual(new Set(["imix", 9000]));
    for (const { framesPerSecond, wrong } of result.throughput) {
      expect(framesPerSecond.median).toBeGreaterThan(0);
      expect(wrong).toBe(0);
    }
  });

  test("of sockets, in either role", { timeout: 60_000 }, async () => {
    const switches = [new SwitchFolder(), new SwitchFolder()];
    folders.push(...switches);
    const [first, second] = switches as [SwitchFolder, SwitchFolder];
    await first.start(["a=listen", "b=listen"]);
    await second.start(["a=connect", "b=connect"]);
    const { pid } = await first.control.version();
    const { code, result } = await bench([
      ...["--sizes", "128", "--backend", `one=${first.file("a")},${first.file("b")}@${pid}`],
      ...["--backend", `two=${second.file("a")},${second.file("b")}:listen`],
    ]);
    expect(code).toBe(0);
    expect(new Set(result.throughput.map(({ backEnd }) => backEnd))).toEqual(new Set(["one", "two"]));
    for (const { framesPerSecond } of result.throughput) expect(framesPerSecond.median).toBeGreaterThan(0);
    expect(result.notes).toContain("two was not held while others were measured: its process is not known");
    // It was stopped and goes on.
    expect((await first.control.status()).ports.map(({ state }) => state)).toEqual(["waiting", "waiting"]);
  });

  test("of frames for segmentation offload: refused before anything is measured where a back-end offers none", {
    timeout: 60_000,
  }, async () => {
    const [plain, offers] = [new SwitchFolder(), new SwitchFolder()];
    folders.push(plain, offers);
    const ports = ["a=listen", "b=listen"];
    await Promise.all([plain.start(ports, "offloads=false"), offers.start(ports)]);
    const backEnd = (name: string, at: SwitchFolder) => ["--backend", `${name}=${at.file("a")},${at.file("b")}`];
    const sizes = ["--sizes", "64,tso", "--directions", "one-way"];
    const io = new FakeIo();
    expect(await main(["bench", ...QUICK, ...sizes, ...backEnd("x", offers), ...backEnd("y", plain)], io)).toBe(1);
    expect(io.err).toContain(`the back-end at ${plain.file("a")} offers no segmentation offload both ways`);
    expect(io.err).not.toContain("MRR");

    const { code, result } = await bench([...sizes, ...backEnd("x", offers)]);
    expect([code, result.wrong]).toEqual([0, 0]);
    expect(result.throughput.map(({ frame }) => frame)).toEqual([64, "tso"]);
    for (const { framesPerSecond } of result.throughput) expect(framesPerSecond.median).toBeGreaterThan(0);
  });

  test("nobody stays stopped when it is ended at once", { timeout: 60_000 }, async () => {
    const foreign = new SwitchFolder();
    folders.push(foreign);
    await foreign.start(["a=listen", "b=listen"]);
    const { folders: before } = leftOvers();
    const { pid } = await foreign.control.version();
    const words = ["bench", ...QUICK, "--sizes", "64", "--windows", "100000", "--backend", "ringbridge"];
    const other = `other=${foreign.file("a")},${foreign.file("b")}@${pid}`;
    const child = spawn(process.execPath, [builtFile("src/cli/main.js"), ...words, "--backend", other]);
    const exited = once(child, "exit");
    await once(child.stderr, "data");
    while (stateOf(pid) !== "T") await delay(5);
    child.kill("SIGINT");
    child.kill("SIGTERM");
    await exited;
    expect(stateOf(pid)).not.toBe("T");
    expect((await foreign.control.version()).pid).toBe(pid);
    expect(leftOvers().folders).toEqual(before);
  });

  test("an interrupted one ends with what it has, a back-end that is not there is one sentence", async () => {
    const io = new FakeIo();
    const run = main(["bench", ...QUICK, "--sizes", "64", "--windows", "100000"], io);
    await io.until(() => io.err.includes("MRR"));
    io.signals.emit("SIGINT");
    expect(await run).toBe(1);
    expect(io.out).toContain("ended early");
    expect(io.listeners()).toBe(0);

    const other = new FakeIo();
    expect(await main(["bench", ...QUICK, "--backend", `x=${folder}/a,${folder}/b`], other)).toBe(1);
    expect(other.err).toContain(`no switch listens on ${folder}/a`);
  });
});

/** proc(5): T is stopped. */
function stateOf(pid: number): string {
  return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]![0]!;
}

/** Descriptors of this process, and folders of switches that the benchmark has started. */
function leftOvers() {
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith("ringbridge-bench-"));
  return { fds: countOpenFds(), folders };
}
