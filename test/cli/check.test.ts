// `ringbridge check` as a command: what it takes, what it writes, and its exit codes; the whole of it against a switch.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CASES } from "../../src/check/cases.js";
import { parseTarget } from "../../src/cli/check.js";
import { main } from "../../src/cli/program.js";
import { Lab } from "../switch/support/lab.js";
import { describeLinux } from "../sys/linux.js";
import { FakeIo } from "./fake-io.js";

test("--backend is one socket or two, and who connects", () => {
  expect(parseTarget("/a.sock")).toEqual({ sockets: ["/a.sock"], role: "connect" });
  expect(parseTarget("/a.sock,/b.sock:listen")).toEqual({ sockets: ["/a.sock", "/b.sock"], role: "listen" });
  expect(parseTarget("a.sock").sockets).toEqual([`${process.cwd()}/a.sock`]);
});

test.each([
  [[], /--backend is needed: write a\.sock or a\.sock,b\.sock/],
  [["--backend", "/a,/b,/c"], /--backend \/a,\/b,\/c: one socket or two/],
  [["--backend", "/a,/a"], /a socket is given twice/],
  [["--backend", "/a", "--once"], /--once: the back-end is started for each connection, so give --restart/],
  [["--backend", "/a,/b", "--once", "--restart", "x"], /give --restart twice, for the first and for the second socket/],
  [["--backend", "/a", "--restart", "x", "--restart", "y"], /--restart is given twice: only with --once/],
  [["--backend", "/a", "--json", "/nonexistent/a.json"], /--json \/nonexistent\/a\.json cannot be written \(ENOENT\)/],
  [["--backend", "/a", "--only", "X9"], /--only X9: there is no case "X9"/],
  [["--backend", "/a", "--except", "X9"], /--except X9: there is no case "X9"/],
  [["--backend", "/a", "--only", "F3", "--except", "F3"], /--except F3 leaves no case/],
  [["--backend", "/a", "--timeout", "0"], /It must be a number above 0/],
])("bad usage %j", async (words, says) => {
  const io = new FakeIo();
  expect(await main(["check", ...words], io)).toBe(2);
  expect(io.err).toMatch(says);
});

test("--list names all cases", async () => {
  const io = new FakeIo();
  expect(await main(["check", "--list"], io)).toBe(0);
  expect(io.out.trim().split("\n")).toHaveLength(CASES.length + 1);
});

describeLinux("against ringbridge", () => {
  test("nobody there is a sentence and exit code 1", async () => {
    const io = new FakeIo();
    expect(await main(["check", "--backend", "/nonexistent/a.sock", "--timeout", "0.1"], io)).toBe(1);
    expect(io.err).toMatch(/^ringbridge: no back-end answers: nobody listens on \/nonexistent\/a\.sock \(ENOENT\)\n$/);
  });

  test.each(["listen", "connect"])(
    "every case passes when the switch does %s",
    async (role) => {
      const lab = new Lab();
      try {
        await lab.start([`vm1=${role}`, `vm2=${role}`]);
        const io = new FakeIo();
        const sockets = `${lab.file("vm1")},${lab.file("vm2")}${role === "connect" ? ":listen" : ""}`;
        const files = ["--json", lab.file("a.json"), "--junit", lab.file("a.xml")];
        const code = await main(["check", "--backend", sockets, "--timeout", "5", ...files], io);
        const { cases } = JSON.parse(readFileSync(lab.file("a.json"), "utf8"));
        const rest = cases.filter(({ verdict }: { verdict: string }) => verdict !== "pass");
        expect(rest).toEqual([expect.objectContaining({ id: "F12c", verdict: "not-offered" })]);
        expect(code).toBe(0);
        expect(readFileSync(lab.file("a.xml"), "utf8")).toContain(`tests="${CASES.length}" failures="0" errors="0"`);
        expect(io.out).toContain(`${CASES.length - 1} pass, 1 not offered in `);
      } finally {
        await lab.close();
      }
    },
    180_000,
  );
});
