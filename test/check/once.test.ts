// `ringbridge check --once`: back-ends that serve one connection and end, each started anew; how they end is told, and what they
// wrote.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { chooseCases } from "../../src/check/cases.js";
import { type CheckReport, reportJunit, reportText } from "../../src/check/report.js";
import { type CheckOptions, runCheck } from "../../src/check/run.js";
import { describeLinux, useFolders } from "../sys/linux.js";

const PROGRAM = fileURLToPath(new URL("one-connection.mjs", import.meta.url));
const folder = useFolders();

describeLinux("a back-end that serves one connection", () => {
  function start(socket: string, words: string): string {
    return `exec ${process.execPath} ${PROGRAM} ${socket} ${words}`;
  }

  function check(only: string[], words = "", more: Partial<CheckOptions> = {}): Promise<CheckReport> {
    const socket = `${folder()}/a.sock`;
    const restart = [start(socket, words)];
    const target = { sockets: [socket], role: "connect" as const };
    return runCheck({ ...target, timeoutMs: 5000, restart, once: true, ...more }, chooseCases(only));
  }

  const verdicts = ({ cases }: CheckReport) => Object.fromEntries(cases.map(({ id, verdict }) => [id, verdict]));

  test("is started for each connection, and its own exit code is no crash", async () => {
    const report = await check(["F5", "N3", "M25", "M41b", "L2"]);
    expect(verdicts(report)).toEqual({
      ...{ F5: "pass", N3: "pass", M25: "pass" },
      ...{ M41b: "skipped", L2: "skipped" },
    });
  });

  test("may be one that connects", async () => {
    const socket = `${folder()}/a.sock`;
    const restart = [start(socket, "--connect")];
    const report = await check(["F12a", "F5"], "", { sockets: [socket], role: "listen", restart });
    expect(verdicts(report)).toEqual({ F12a: "pass", F5: "pass" });
  });

  test("a signal that ends it is a crash; the report says which, and what it had written", async () => {
    const log = `${folder()}/log`;
    const report = await check(["M25", "F12a"], "dies", { log });
    expect(verdicts(report)).toEqual({ F12a: "pass", M25: "crashed" });
    const [crash] = report.cases.filter(({ id }) => id === "M25");
    expect(crash!.came).toBe("its process ended with SIGKILL");
    expect(crash!.wrote).toContain("no request 0 is known");
    expect(reportText(report)).toMatch(/the back-end wrote:\n(.*\n)* {4}no request 0 is known\n/);
    expect(reportJunit(report)).toContain("no request 0 is known");
    expect(readFileSync(log, "utf8")).toMatch(/^it starts\n(it starts\n)+/);
  });

  test("one that does not end is ended, and counts as crashed", async () => {
    const report = await check(["F12a"], "stays", { timeoutMs: 1000 });
    expect(report.cases[0]).toMatchObject({
      verdict: "crashed",
      came: "its process did not end within 1 s of its connection",
    });
  });

  test("one that ends before it has a socket is no back-end to begin with; what it wrote is said", async () => {
    await expect(check(["F12a"], "ends")).rejects.toThrow(
      /no back-end answers: .*a\.sock: its command ended before a connection \(exit code 3\)\nIt wrote:\n {2}it starts$/,
    );
  });

  test("one that serves many, and is ended by a signal: which, and that it was started again", async () => {
    const report = await check(["M25", "M41a"], "--many dies", { once: false });
    expect(verdicts(report)).toEqual({ M25: "crashed", M41a: "pass" });
    expect(report.cases[0]!.came).toMatch(/^its process \d+ has ended \(SIGKILL\)/);
    expect(report.cases[0]!.wrote).toContain("no request 0 is known");
  });

  test("a command that cannot start it is told with what the shell said", async () => {
    const socket = `${folder()}/a.sock`;
    const options = { sockets: [socket], role: "connect" as const, timeoutMs: 100, restart: ["./no-such-switch"] };
    await expect(runCheck(options, chooseCases(["F5"]))).rejects.toThrow(
      /no back-end answers: --restart "\.\/no-such-switch": exit code 127\nIt wrote:\n.*not found/,
    );
  });

  test("without --once it is told apart at the beginning, and what to give is said", async () => {
    await expect(check(["F12a"], "", { once: false })).rejects.toThrow(
      /process \d+ ended with its first connection: .* give --once, and with --restart the command that starts it/,
    );
  });
});
