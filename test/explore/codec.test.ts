// A moment as a string, and whatever else may stand where one is expected.

import { expect, test } from "vitest";
import { decodeState, encodeState, makeSetup, type Move, type State } from "../../src/explore/machine/index.js";
import { Random } from "../../src/testing/random.js";

const MOVES: Move[] = [
  { do: "operation", guest: 0, operation: { do: "send", to: 1, payload: 26 } },
  {
    do: "operation",
    guest: 0,
    operation: { do: "send", to: "broadcast", payload: 4096, pieces: [12, 700], indirect: false },
  },
  {
    do: "operation",
    guest: 2,
    operation: { do: "send", to: "unknown", payload: 0, indirect: true, leave: "segments" },
  },
  { do: "operation", guest: 2, operation: { do: "send", to: 2, payload: 1, pieces: [], leave: "checksum" } },
  { do: "driver", guest: 2, steps: 130 },
  { do: "device", steps: 70_000 },
  { do: "operation", guest: 1, operation: { do: "post", buffers: 3 } },
  { do: "operation", guest: 1, operation: { do: "receive" } },
  { do: "operation", guest: 1, operation: { do: "receive", again: true } },
  { do: "operation", guest: 1, operation: { do: "receive", again: false } },
  { do: "operation", guest: 1, operation: { do: "reclaim" } },
  { do: "operation", guest: 1, operation: { do: "calls", queue: "transmitq", wanted: false } },
  { do: "operation", guest: 1, operation: { do: "send-bad", bad: "index" } },
  { do: "fault", fault: { fault: "hold-store", guest: 0, accesses: 500 } },
  { do: "fault", fault: { fault: "let-go", guest: 0 } },
  { do: "fault", fault: { fault: "lose-kick", guest: 1 } },
  { do: "fault", fault: { fault: "lose-call", guest: 2 } },
  { do: "fault", fault: { fault: "skip-recheck", skip: true } },
  { do: "fault", fault: { fault: "skip-recheck", skip: false } },
  { do: "time", seconds: 301 },
];

const STATE: State = {
  setup: makeSetup({
    seed: 0xffffffff,
    guests: [
      { ring: "packed", size: 5, mergeable: true },
      { size: 64, eventIdx: true, offloads: true },
      { rxBuffers: 0 },
    ],
    learned: [0, 2],
    device: "polling",
  }),
  moves: MOVES,
  core: "00ab12ff",
};

test("a state goes into a URL's characters and comes out the same", () => {
  const text = encodeState(STATE);
  expect(text).toMatch(/^[\w.-]+$/);
  expect(decodeState(text)).toEqual(STATE);
  expect(decodeState(` ${text}\n`)).toEqual(STATE);
  for (const move of MOVES) expect(decodeState(encodeState({ ...STATE, moves: [move] })).moves).toEqual([move]);
  expect(decodeState(encodeState({ ...STATE, core: undefined }))).toEqual({ setup: STATE.setup, moves: MOVES });
  expect(text.length).toBeLessThan(165);
});

test("a string that is none is refused with a sentence", () => {
  const text = encodeState(STATE);
  expect(() => decodeState("")).toThrow("holds no state");
  expect(() => decodeState("hello")).toThrow("holds no state");
  expect(() => decodeState("2.AAAA")).toThrow("version 2");
  expect(() => decodeState("1.")).toThrow("damaged");
  expect(() => decodeState(text.slice(0, -4))).toThrow("damaged");
  const random = new Random(3);
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (let i = 0; i < 600; i++) {
    const at = random.integer(2, text.length - 1);
    const other = `${text.slice(0, at)}${random.pick([...digits])}${text.slice(at + 1)}`;
    if (other === text) continue;
    expect(() => decodeState(other), other).toThrow(/link/);
  }
  // Whole by its check, and yet no state: whatever it is, it is a state or an error.
  for (let i = 0; i < 600; i++) {
    const noise = Uint8Array.from({ length: random.integer(0, 40) }, () => random.integer(0, 255));
    try {
      decodeState(withCheck(noise));
    } catch (error) {
      expect((error as Error).message).toMatch(/link|guest|seed|ring/);
    }
  }
});

/** A string whose check is right, whatever is in it. */
function withCheck(bytes: Uint8Array): string {
  let sum = 0xffff;
  for (const byte of bytes) {
    sum ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) sum = ((sum << 1) ^ (sum & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return `1.${Buffer.from([...bytes, sum >> 8, sum & 255]).toString("base64url")}`;
}
