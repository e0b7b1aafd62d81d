// Whatever stands in a file or a flag, the outcome is a configuration or a ConfigError of one-line problems.

import fc from "fast-check";
import { expect, it } from "vitest";
import { stringify } from "yaml";
import { parsePortFlag } from "../../src/config/flags.js";
import { loadConfig } from "../../src/config/load.js";
import { ConfigError } from "../../src/config/problems.js";
import { PORT_NAME, SOCKET_PATH_MAX, type SwitchConfig } from "../../src/config/schema.js";

const key = fc.oneof(
  fc.constantFrom("workers", "poll", "spin-us", "control", "fdb", "ports", "ageing", "limit", "per-port-limit"),
  fc.constantFrom("listen", "connect", "mode", "group", "queues", "vm1", "__proto__", "constructor"),
  fc.string({ maxLength: 8 }),
);
const leaf = fc.oneof(
  fc.constantFrom<unknown>(null, true, 1, 8, 0.5, -1, "0660", "/tmp/a.sock", "a.sock", "kvm", Number.NaN),
  fc.string({ maxLength: 120 }),
  fc.double(),
);
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.array(tie("tree"), { maxLength: 3 }),
    fc.dictionary(key, tie("tree"), { maxKeys: 5 }),
  ),
}));

/** Runs `load`; a ConfigError with sane lines is an answer, anything else a failure of the test. */
function answerOf<T>(load: () => T): T | undefined {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.lines.length).toBeGreaterThan(0);
    for (const line of error.lines) expect(line.length).toBeGreaterThan(5);
    return undefined;
  }
}

function expectSound(config: SwitchConfig): void {
  expect(config.fdb.perPortLimit).toBeLessThanOrEqual(config.fdb.limit);
  for (const port of config.ports) {
    expect(port.name).toMatch(PORT_NAME);
    expect(port.path.startsWith("/")).toBe(true);
    expect(Buffer.byteLength(port.path)).toBeLessThanOrEqual(SOCKET_PATH_MAX);
  }
  expect(new Set(config.ports.map(({ path }) => path)).size).toBe(config.ports.length);
}

const load = (text: string) => loadConfig({ file: "net.yaml", text, env: {}, lookupGroup: () => undefined });

it("any tree of values is accepted or refused", () => {
  fc.assert(
    fc.property(tree, (value) => {
      const config = answerOf(() => load(stringify(value)));
      if (config) expectSound(config);
    }),
    { numRuns: 500 },
  );
});

it("any ports of nearly right shape are accepted or refused", () => {
  const port = fc.record({ listen: leaf, connect: leaf, mode: leaf, group: leaf, queues: leaf }, { requiredKeys: [] });
  fc.assert(
    fc.property(fc.dictionary(key, port, { maxKeys: 4 }), (ports) => {
      const config = answerOf(() => load(stringify({ ports })));
      if (config) expectSound(config);
    }),
    { numRuns: 500 },
  );
});

it("any text is accepted or refused", () => {
  const scrap = fc.constantFrom(
    "ports:",
    "\n  ",
    "{",
    "}",
    "[",
    "&a",
    "*a",
    ": ",
    "- ",
    '"',
    "|",
    "%",
    "---",
    "<<",
    "\t",
  );
  const text = fc.array(fc.oneof(scrap, fc.string({ maxLength: 6 })), { maxLength: 12 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, (content) => {
      answerOf(() => load(content));
    }),
    { numRuns: 500 },
  );
});

it("any port flag is accepted or refused", () => {
  const part = fc.constantFrom("vm1", "=", "listen", "connect", ":", "/a", ",", "mode", "0660", "group", "queues", "4");
  const flag = fc.array(fc.oneof(part, fc.string({ maxLength: 4 })), { maxLength: 10 }).map((parts) => parts.join(""));
  const context = { folder: "/", lookupGroup: () => undefined };
  fc.assert(
    fc.property(flag, (value) => {
      const port = answerOf(() => parsePortFlag(value, context));
      if (port) expect(port.name).toMatch(PORT_NAME);
    }),
    { numRuns: 500 },
  );
});
