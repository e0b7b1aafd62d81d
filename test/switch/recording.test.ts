// `--record`: what a running switch writes of its front-ends, its limits, and folders that cannot be written.

import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Recording } from "../../src/switch/recording.js";
import { beginTranscript } from "../../src/switch/transcripts.js";
import { parseTranscript } from "../../src/vhost-user/transcript.js";
import { describeLinux } from "../sys/linux.js";
import { replay } from "../vhost-user/replay.js";
import { HandGuest, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-record-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const transcripts = (): string[] =>
  readdirSync(folder)
    .sort()
    .map((name) => readFileSync(join(folder, name), "utf8"));

describeLinux("a switch that records", () => {
  test("writes a file for each connection, whole as soon as the front-end has gone, and a replay writes the same", async () => {
    const lab = new Lab();
    const [one, two] = [new HandGuest(), new HandGuest({ pairs: 2 })];
    try {
      await lab.start(["vm1=listen", "vm2=listen"], ["--record", folder]);
      await one.start(lab.file("vm1"));
      await two.start(lab.file("vm2"));
      await pass(one, two, 1);
      // Guest one breaks its transmitq: an avail index out of reach.
      const ring = one.rings[1]!;
      one.data.setUint16(one.at(ring.place.avail) + 2, ring.driver.availIndex + 4711, true);
      ring.notify();
      await lab.error("vm1", /broke queue 1/);
      one.leave();
      two.leave();
      await lab.vacant("vm1");
      await lab.vacant("vm2");
      const [first, second] = await until("two whole transcripts", () => {
        const all = transcripts();
        return all.length === 2 && all.every((text) => text.includes('"closed"')) ? all : undefined;
      });
      const { head, lines, torn } = parseTranscript(first!);
      expect(head).toMatchObject({ port: "vm1", role: "listen", pid: process.pid });
      expect(torn).toBe(false);
      expect(
        lines.filter((line) => "ring" in line).map((line) => ("ring" in line ? `${line.event} ${line.ring}` : "")),
      ).toEqual(expect.arrayContaining(["started 0", "started 1", "broken 1", "stopped 0", "stopped 1"]));
      expect(lines.at(-1)).toMatchObject({ closed: "the front-end closed its socket" });
      const memory = lines
        .flatMap((line) => ("fds" in line ? (line.fds ?? []) : []))
        .find(({ kind }) => kind === "memfd");
      expect(memory).toMatchObject({ size: 4 << 20, pageBytes: 4096 });
      expect(replay(first!)).toBe(first);
      expect(replay(second!)).toBe(second);
      expect(second!.match(/"event":"started"/g)).toHaveLength(4);
      for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    } finally {
      one.close();
      two.close();
      await lab.close();
    }
  });

  test("ends with one line when it cannot record", async () => {
    const lab = new Lab();
    const file = join(folder, "file");
    writeFileSync(file, "");
    const started = lab.start(["vm1=listen"], ["--record", join(file, "below")]);
    await expect(started).rejects.toThrow(
      /did not start: ringbridge: cannot record into \S+below: ENOTDIR\S* [^\n]+\n$/,
    );
    await lab.stop("SIGKILL");
    rmSync(lab.path, { recursive: true });
  });
});

describe("a recording", () => {
  const logged: string[] = [];
  const log = pino({}, { write: (line) => void logged.push((JSON.parse(line) as { msg: string }).msg) });
  const connection = { port: "vm1", role: "listen", pid: undefined, session: {} };
  beforeEach(() => void logged.splice(0));

  test("makes its folder", () => {
    new Recording(join(folder, "a", "b"), log);
    expect(readdirSync(join(folder, "a"))).toEqual(["b"]);
  });

  test.skipIf(process.getuid?.() === 0)("says that its folder cannot be written", () => {
    chmodSync(folder, 0o500);
    expect(() => new Recording(folder, log)).toThrow(/^cannot record into .*: EACCES.* name a folder/);
    chmodSync(folder, 0o700);
  });

  test("stops at its limit of bytes and says so in the file and, once, in the log", () => {
    const begun = beginTranscript([new Recording(folder, log, { bytes: 1500 })], connection)!;
    for (let i = 0; i < 50; i++) begun.transcript.broken(i, "as a test");
    begun.transcript.closed("the end");
    begun.end();
    const [text] = transcripts();
    const { lines, torn } = parseTranscript(text!);
    expect(torn).toBe(false);
    expect(lines.length).toBeGreaterThan(5);
    expect(lines.at(-1)).toMatchObject({ cut: "it has reached its limit of 1500 bytes" });
    expect(text!.length).toBeLessThan(1600);
    expect(logged).toEqual([expect.stringMatching(/vm1-\S+\.jsonl is not continued: it has reached its limit/)]);
  });

  test("stops at its limit of transcripts and says so once", () => {
    const recording = new Recording(folder, log, { transcripts: 2 });
    const begun = [1, 2, 3, 4].map(() => beginTranscript([recording], connection));
    expect(begun.map((one) => one !== undefined)).toEqual([true, true, false, false]);
    for (const one of begun) one?.end();
    expect(transcripts()).toHaveLength(2);
    expect(logged).toEqual([`${folder} has 2 transcripts of this run: later connections are not recorded`]);
  });

  test("whose folder goes away costs no connection", () => {
    const recording = new Recording(join(folder, "gone"), log);
    rmSync(join(folder, "gone"), { recursive: true });
    expect(beginTranscript([recording], connection)).toBeUndefined();
    expect(logged).toEqual([expect.stringContaining("not recorded: ENOENT")]);
  });
});
