// The log: one readable line per event, or pino's JSON.

import { describe, expect, it } from "vitest";
import { createLogger, readableLine } from "../../src/cli/log.js";
import { FakeIo } from "./fake-io.js";

function logged(json: boolean, level = "info", debug = false) {
  const io = new FakeIo();
  const log = createLogger({ level, json, debug, output: io.stderr });
  return { io, log };
}

describe("readable lines", () => {
  it("have time, level, port, text and the rest", () => {
    const { io, log } = logged(false);
    log.child({ port: "vm1" }).warn({ queue: 3, why: { a: 1 } }, "queue is broken");
    expect(io.err).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}vm1: queue is broken queue=3 why={"a":1}\n$/);
  });

  it("put an error's message at the end, its stack only for debugging", () => {
    const error = new Error("no room\nfor it");
    const plain = logged(false);
    plain.log.error({ err: error }, "cannot map");
    plain.log.error(error);
    expect(plain.io.err.replace(/^\S+ /gm, "")).toBe("error cannot map: no room; for it\nerror no room; for it\n");
    const debug = logged(false, "info", true);
    debug.log.error({ err: error }, "cannot map");
    expect(debug.io.err).toContain("\nError: no room\nfor it\n    at ");
  });

  it("leave out what is below the level", () => {
    const { io, log } = logged(false, "warn");
    log.info("quiet");
    log.warn("loud");
    expect(io.err).toMatch(/^\S+ warn {2}loud\n$/);
  });

  it("pass on what is no JSON", () => {
    expect(readableLine("plain\n")).toBe("plain\n");
  });
});

it("JSON lines are pino's own", () => {
  const { io, log } = logged(true);
  log.info({ port: "vm1" }, "up");
  expect(JSON.parse(io.err)).toMatchObject({ level: 30, port: "vm1", msg: "up" });
});
