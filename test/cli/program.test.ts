// The command line: help, slips, exit codes, one line for each error.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { main } from "../../src/cli/program.js";
import { packageVersion } from "../../src/version.js";
import { FakeIo } from "./fake-io.js";

let io: FakeIo;
let folder: string;
beforeEach(() => {
  io = new FakeIo();
  folder = mkdtempSync(join(tmpdir(), "ringbridge-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const VERSION = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
).version;

describe("help and version", () => {
  it("go to standard output and end with 0", async () => {
    expect(await main(["--version"], io)).toBe(0);
    expect(io.out).toBe(`${VERSION}\n`);
    expect(packageVersion()).toBe(VERSION);
    for (const command of ["run", "status", "fdb", "transcript", "doctor", "demo"]) {
      const help = new FakeIo();
      expect(await main([command, "--help"], help)).toBe(0);
      expect(help.out).toContain(`Usage: ringbridge ${command}`);
      expect(help.err).toBe("");
    }
  });

  it("name the control socket of this user", async () => {
    io.env = { XDG_RUNTIME_DIR: "/run/user/5" };
    await main(["--help"], io);
    expect(io.out).toMatch(/\/run\/user\/5\/ringbridge\.sock/);
  });

  it("without a command are a mistake", async () => {
    expect(await main([], io)).toBe(2);
    expect(io.out).toBe("");
    expect(io.err).toContain("Usage: ringbridge");
  });
});

describe("a wrong command line ends with 2 and one line", () => {
  it.each<[string[], string]>([
    [["stauts"], "unknown command 'stauts' (Did you mean status?)"],
    [["run", "--prot", "x"], "unknown option '--prot' (Did you mean --port?)"],
    [["run", "a.yaml", "b.yaml"], "too many arguments for 'run'. Expected 1 argument but got 2."],
    [
      ["run"],
      "nothing to run: give a configuration file, or ports such as --port vm1=listen:/tmp/vm1.sock, or --empty",
    ],
    [["run", "--port", "a=listen:"], "--port a=listen:: listen: is empty: give the path of a unix socket"],
    [["run", "/none.yaml"], "/none.yaml: there is no such file: check the path, or give ports with --port"],
    [["run", "-p", "a=listen:/a", "--workers", "99"], "--workers: must be a whole number from 1 to 16, not 99"],
    [
      ["run", "-p", "a=listen:/a", "--log-level", "loud"],
      "option '--log-level <level>' argument 'loud' is invalid. Allowed choices are " +
        "trace, debug, info, warn, error, fatal, silent.",
    ],
    [["status", "--port"], "option '-p, --port <name>' argument missing"],
    [
      ["demo", "--size", "63"],
      "option '--size <bytes>' argument '63' is invalid. It must be \"imix\" or a whole number from 64 to 65535.",
    ],
    [["demo", "--seconds", "0"], "option '--seconds <n>' argument '0' is invalid. It must be a number above 0."],
    [
      ["demo", "--workers", "1.5"],
      "option '--workers <n>' argument '1.5' is invalid. It must be a whole number from 1 on.",
    ],
  ])("%j", async (argv, text) => {
    expect(await main(argv, io)).toBe(2);
    expect(io.err).toBe(`ringbridge: ${text}\n`);
    expect(io.out).toBe("");
  });

  it("and one line for each problem of a configuration", async () => {
    const file = join(folder, "net.yaml");
    writeFileSync(file, "workers: 0\nprots: {}\n");
    expect(await main(["run", file, "--port", "a=lisen:/a"], io)).toBe(2);
    expect(io.err).toBe(
      [
        `ringbridge: ${file}:1:10: workers: must be a whole number from 1 to 16, not 0`,
        `ringbridge: ${file}:2:1: prots: unknown key (did you mean "ports"?)`,
        'ringbridge: --port a=lisen:/a: "lisen" is neither "listen" nor "connect": NAME=listen:PATH or ' +
          "NAME=connect:PATH, then ,mode=0660 ,group=kvm ,queues=4 as needed",
        "",
      ].join("\n"),
    );
  });
});

describe("no switch", () => {
  it.each([[["status"]], [["status", "--watch"]], [["fdb"]], [["fdb", "flush"]]])("%j ends with 1", async (argv) => {
    io.env = { XDG_RUNTIME_DIR: folder };
    expect(await main(argv, io)).toBe(1);
    expect(io.err).toBe(
      `ringbridge: no switch runs here (there is no ${folder}/ringbridge.sock): ` +
        'start one with "ringbridge run", or give its --control path\n',
    );
    expect(io.out).toBe("");
    expect(io.listeners()).toBe(0);
  });

  it("shows the stack only when it is asked for", async () => {
    const control = ["--control", join(folder, "c")];
    for (const [argv, env] of [
      [["status", "--debug", ...control], {}],
      [["--debug", ...control, "status"], {}],
      [[...control, "status"], { RINGBRIDGE_DEBUG: "1" }],
    ] as const) {
      io = new FakeIo();
      io.env = env;
      expect(await main(argv, io)).toBe(1);
      expect(io.err).toMatch(/^ringbridge: no switch runs here.*\nError: no switch runs here[^\n]*\n {4}at /);
    }
  });
});

describe("doctor", () => {
  it("judges a configuration and fails with it", async () => {
    const file = join(folder, "net.yaml");
    writeFileSync(file, "poll: maybe\n");
    expect(await main(["doctor", "--json", "--control", join(folder, "c"), file], io)).toBe(1);
    const checks = JSON.parse(io.out) as { name: string; status: string; what: string }[];
    expect(checks[0]).toMatchObject({
      name: "config",
      status: "fail",
      what: `${file}:1:7: poll: must be true or false, not "maybe"`,
    });
    expect(checks.length).toBeGreaterThan(8);
  });
});

it("help needs none of the libraries that only commands use", () => {
  // The module graph of the program as Node sees it: read the imports of what it loads at once.
  const seen = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [, target = ""] of readFileSync(file, "utf8").matchAll(/^import (?!type ).*? from "([^"]+)";$/gms)) {
      if (target.startsWith(".")) visit(join(file, "..", target.replace(/\.js$/, ".ts")));
      else if (!target.startsWith("node:")) packages.add(target);
    }
  };
  visit(new URL("../../src/cli/main.ts", import.meta.url).pathname);
  expect([...packages]).toEqual(["commander"]);
  expect(seen.size).toBeGreaterThan(4);
});

it("the real process ends with the code and one line", () => {
  // Node runs no TypeScript here, so the file is loaded through vite's transform in a child of its own.
  const script = `import("vite").then(async ({ createServer }) => {
    const vite = await createServer({ configFile: false, server: { middlewareMode: true, ws: false }, appType: "custom",
      logLevel: "silent", optimizeDeps: { noDiscovery: true } });
    process.argv.splice(2, 99, "status", "--control", ${JSON.stringify(join(folder, "none.sock"))});
    await vite.ssrLoadModule("/src/cli/main.ts");
    await vite.close();
  });`;
  const root = new URL("../..", import.meta.url).pathname;
  const { status, stderr, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script, "x"], {
    cwd: root,
    encoding: "utf8",
  });
  expect(stderr).toMatch(/^ringbridge: no switch runs here .*\n$/);
  expect([status, stdout]).toEqual([1, ""]);
});
