// `ringbridge transcript`: the diagram, and files that are none.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { main } from "../../src/cli/program.js";
import { FakeIo } from "./fake-io.js";

const LINES = [
  {
    transcript: 1,
    version: "1.2.3",
    port: "vm1",
    role: "listen",
    program: "qemu",
    pid: 7,
    started: "2026-01-01T00:00:00.000Z",
    session: {},
  },
  { ms: 0.1, from: "front-end", request: 1, name: "GET_FEATURES", flags: 1, hex: "" },
  {
    ms: 0.2,
    from: "back-end",
    request: 1,
    name: "GET_FEATURES",
    flags: 5,
    payload: { value: "0x140008000" },
    hex: "00",
  },
  {
    ms: 12,
    from: "front-end",
    request: 5,
    name: "SET_MEM_TABLE",
    flags: 9,
    needReply: true,
    payload: { regions: [{ guestAddress: "0x0", size: "0x1000" }] },
    hex: "00",
    fds: [{ fd: "fd1", kind: "memfd", name: "m\u001b[31m", size: 4096, seals: ["shrink"] }],
  },
  { ms: 13, effect: { kind: "setMemory", fds: ["fd1"] }, outcome: { error: "no room" } },
  { ms: 13.5, from: "back-end", request: 5, name: "SET_MEM_TABLE", flags: 5, payload: { value: "0x1" }, hex: "01" },
  { ms: 13.6, from: "back-end", request: 2, name: "SET_FEATURES", flags: 5, payload: { value: "0x0" }, hex: "00" },
  {
    ms: 13.7,
    from: "back-end",
    request: 42,
    name: "SET_DEVICE_STATE_FD",
    flags: 5,
    payload: { value: "0x100" },
    hex: "",
  },
  { ms: 14, from: "front-end", request: 99, name: "request 99", flags: 1, hex: "abcd" },
  {
    ms: 14.5,
    from: "back-end",
    request: 11,
    name: "GET_VRING_BASE",
    flags: 5,
    payload: { index: 1, num: 0x8003_8003 },
    hex: "00",
  },
  { ms: 15, ring: 1, event: "started", at: 6 },
  { ms: 16, ring: 1, event: "broken", reason: "a loop" },
  { ms: 17, closed: "the front-end closed its socket" },
];

let folder: string;
let file: string;
let io: FakeIo;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-transcript-"));
  file = join(folder, "t.jsonl");
  io = new FakeIo();
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (end = "") => writeFileSync(file, LINES.map((line) => `${JSON.stringify(line)}\n`).join("") + end);

it("draws messages as arrows and what the switch did beside them", async () => {
  write();
  expect(await main(["transcript", file], io)).toBe(0);
  expect(io.out.split("\n")).toEqual([
    "port vm1 (listen), qemu (pid 7), from 2026-01-01T00:00:00.000Z, ringbridge 1.2.3",
    "",
    "         ms  front-end                   back-end  (! reply wanted)",
    "      0.100  │─ GET_FEATURES ───────────────▶│",
    "      0.200  │◀─────────────── GET_FEATURES ─│ 0x140008000 MRG_RXBUF PROTOCOL_FEATURES VERSION_1",
    "     12.000  │─ SET_MEM_TABLE ! ────────────▶│ regions=[{guestAddress=0x0 size=0x1000}] " +
      "[fd1 memfd: name=m?[31m size=4096 seals=[shrink]]",
    "     13.000  │                               │   setMemory fds=[fd1] → error=no room",
    "     13.500  │◀────────────── SET_MEM_TABLE ─│ 0x1 (failed)",
    "     13.600  │◀─────────────── SET_FEATURES ─│ 0x0 (done)",
    "     13.700  │◀──────── SET_DEVICE_STATE_FD ─│ 0x100",
    "     14.000  │─ request 99 ─────────────────▶│ bytes abcd",
    "     14.500  │◀───────────── GET_VRING_BASE ─│ index=1 num=0x80038003",
    "     15.000  │                               │   ring 1 started at 6",
    "     16.000  │                               │   ring 1 broken: a loop",
    "     17.000  closed: the front-end closed its socket",
    "",
  ]);
});

it("leaves out what the switch did when asked", async () => {
  write();
  expect(await main(["transcript", "--no-effects", file], io)).toBe(0);
  expect(io.out).not.toMatch(/setMemory|ring 1/);
  expect(io.out).toMatch(/GET_FEATURES.*closed:/s);
});

it("says that a transcript is not at its end", async () => {
  write('{"ms":18,"ri');
  expect(await main(["transcript", file], io)).toBe(0);
  expect(io.out).toContain("the transcript ends in the middle of a line");
});

it.each([
  ["no file", () => {}, /^ringbridge: \S+t\.jsonl: ENOENT.*\n$/],
  [
    "a file of something else",
    () => writeFileSync(file, "ports:\n"),
    /^ringbridge: \S+t\.jsonl: line 1 is no JSON object\n$/,
  ],
])("%s is a mistake of one line", async (_, make, message) => {
  make();
  expect(await main(["transcript", file], io)).toBe(2);
  expect(io.out).toBe("");
  expect(io.err).toMatch(message);
});
