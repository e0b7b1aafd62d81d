// `ringbridge sim` as it is run: what it prints and writes, and its exit codes.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readCapture, udp, writePcapng } from "../../src/testing/index.js";
import { main } from "../../src/cli/program.js";
import { FakeIo } from "./fake-io.js";

const folder = mkdtempSync(join(tmpdir(), "ringbridge-sim-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const GOOD = `about: Seven frames.
guests: { a: {}, b: {} }
traffic: { t: { from: a, to: b, count: 7 } }
expect: [{ that: received, guest: b, is: 7 }]
`;

async function run(text: string, ...words: string[]) {
  const file = join(folder, "case.yaml");
  writeFileSync(file, text);
  const io = new FakeIo();
  const code = await main(["sim", file, ...words], io);
  return { code, out: io.out, err: io.err };
}

test("a scenario that comes out: tables, exit code 0, all files", async () => {
  const [report, junit, pcap] = ["r.html", "j.xml", "p.pcapng"].map((name) => join(folder, name));
  const { code, out, err } = await run(GOOD, "--report", report!, "--junit", junit!, "--pcap", pcap!, "--seed", "5");
  expect([code, err]).toEqual([0, ""]);
  expect(out).toMatch(/^Seven frames\.\n/);
  expect(out).toMatch(/all 2 expectations hold; seed 5; 7 frames in .* s of this machine/);
  expect(readFileSync(report!, "utf8")).toContain("<h1>case</h1>");
  expect(readFileSync(junit!, "utf8")).toContain('tests="2" failures="0"');
  expect(readCapture(readFileSync(pcap!))).toHaveLength(14);
});

test("one that does not: exit code 1; JSON for programs", async () => {
  const { code, out } = await run(GOOD.replace("is: 7", "is: 8"), "--json");
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ pass: false, seed: 1, runs: [{ frames: 7 }], checks: [{}, { came: "7" }] });
});

test("a bad file: exit code 2, and where", async () => {
  const { code, err } = await run(GOOD.replace("count: 7", "cuont: 7"));
  expect(code).toBe(2);
  expect(err).toMatch(/case\.yaml:3:\d+: traffic\.t\.cuont: unknown key \(did you mean "count"\?\)/);
  const io = new FakeIo();
  expect(await main(["sim", join(folder, "none.yaml")], io)).toBe(2);
  expect(io.err).toContain("none.yaml: cannot be read");
});

test("a capture is replayed from beside the scenario; one that is not there is named", async () => {
  const station = (n: number) => ({ mac: `02:00:00:00:00:0${n}`, ip4: `10.0.0.${n}` });
  const frames = [1, 2, 3].map((i) => {
    return {
      interface: 0,
      direction: "in",
      time: i * 1e6,
      bytes: udp({ from: station(1), to: station(2), payload: i }),
    } as const;
  });
  writeFileSync(join(folder, "old.pcapng"), writePcapng(["x"], frames));
  const text = `about: As it was.
guests: { a: {}, b: {} }
traffic: { old: { from: a, kind: replay, file: old.pcapng, speed: 2 } }
expect: [{ that: received, guest: b, is: 3 }, { that: received, flow: old, is: 3 }]
`;
  expect((await run(text)).code).toBe(0);
  const { code, err } = await run(text.replace("old.pcapng", "new.pcapng"));
  expect(code).toBe(2);
  expect(err).toContain("case.yaml: the capture new.pcapng cannot be read");
});

test("--runs stops at the first seed that fails, and writes what is left of it", async () => {
  const before = process.cwd();
  process.chdir(folder);
  try {
    const open = GOOD.replace("count: 7", "count: [7, 9]");
    const { code, out } = await run(open, "--runs", "50");
    expect(code).toBe(1);
    const [, file] = /again: ringbridge sim (case-seed-\d+\.yaml)/.exec(out)!;
    expect(out).toMatch(/cut down in \d+ runs to \d guests, \d flows, 0 faults/);
    expect(existsSync(file!)).toBe(true);
    expect(await main(["sim", file!], new FakeIo())).toBe(1);
    const passed = await run(GOOD, "--runs", "5");
    expect(passed.code).toBe(0);
    expect(passed.out).toMatch(/^5 of 5 seeds passed from seed 1 on: 35 frames/);
  } finally {
    process.chdir(before);
  }
});

test("files of one run have no place beside --runs", async () => {
  const { code, err } = await run(GOOD, "--runs", "5", "--report", join(folder, "x.html"));
  expect(code).toBe(2);
  expect(err).toContain("--report is of one run");
});
