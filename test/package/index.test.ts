// The published entry point: what it offers, and that it loads where there is no Linux.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import * as ringbridge from "../../src/index.js";

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

test("the library offers a switch, its configuration and a client", () => {
  expect(Object.keys(ringbridge).sort()).toEqual(
    [
      ...["ConfigError", "ControlClient", "DROP_CAUSE_NAMES", "DROP_CAUSE_TEXTS", "Switch"],
      ...["dropCause", "loadConfig", "packageVersion", "queueStatusText"],
    ].sort(),
  );
  expect(ringbridge.packageVersion()).toBe(manifest.version);
});

test("what package.json points at is built", () => {
  const targets = [
    ...Object.values<string>(manifest.bin),
    ...[".", "./testing", "./testing/vitest"].flatMap((entry) => Object.values<string>(manifest.exports[entry])),
  ];
  for (const target of targets) expect(existsSync(new URL(`../../${target}`, import.meta.url)), target).toBe(true);
});

test("the descriptor for management programs names the program that follows QEMU's conventions", () => {
  const folder = new URL("../../share/qemu/vhost-user/", import.meta.url);
  const descriptor = JSON.parse(readFileSync(new URL("50-ringbridge.json", folder), "utf8"));
  expect(descriptor).toMatchObject({ type: "net", binary: "/usr/bin/ringbridge-vhost-user", tags: [] });
  const program = new URL(`../../${manifest.bin["ringbridge-vhost-user"]}`, import.meta.url);
  const output = execFileSync(fileURLToPath(program), ["--print-capabilities", "--socket-path=/nowhere/x.sock"], {
    encoding: "utf8",
  });
  expect(JSON.parse(output)).toEqual({ type: "net" });
});

test("it loads on a system that is not Linux, and says there why a switch cannot start", () => {
  const program = `
    Object.defineProperty(process, "platform", { value: "darwin" });
    const { Switch, loadConfig } = await import("./dist/src/index.js");
    const log = { info() {}, warn() {}, debug() {}, child() { return this; } };
    const config = loadConfig({ portFlags: ["a=listen:/tmp/never.sock"] });
    try { await Switch.start(config, log); } catch (error) { console.log(error.name, error.message); }
    process.exit(0);`;
  const root = new URL("../..", import.meta.url);
  const output = execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: root,
    encoding: "utf8",
  });
  expect(output).toMatch(/^SystemUnavailable .*Linux/);
});
