// The transcript of a session: what its lines hold, that a replay writes it again, and what is none.

import { describe, expect, test } from "vitest";
import type { Effect, EffectOutcome } from "../../src/vhost-user/effects.js";
import { encodeRequest, type FrontEndRequest } from "../../src/vhost-user/front-end-session.js";
import { HEADER_SIZE, messageByNumber, type Payload } from "../../src/vhost-user/message.js";
import { closeSession, createSession, type SessionOptions, settle, step } from "../../src/vhost-user/session.js";
import {
  bytesOf,
  hexOf,
  parseTranscript,
  sessionFromJson,
  sessionToJson,
  TRANSCRIPT_FORMAT,
  Transcript,
  type TranscriptHead,
  type TranscriptLine,
} from "../../src/vhost-user/transcript.js";
import { replay, repliesOf, requestNames, transcriptText } from "./replay.js";
import { MIB, memTable, region, u64, vring, vringAddr, vringFd } from "./requests.js";

const OPTIONS: SessionOptions = { features: (1n << 30n) | (1n << 32n), protocolFeatures: 1n << 3n, queuePairs: 4 };

/** A session whose transcript is kept; effects go well but for kinds in `failing`. */
class Recorded {
  readonly lines: (TranscriptHead | TranscriptLine)[] = [];
  readonly failing = new Map<Effect["kind"], string>();
  readonly transcript: Transcript;
  private state = createSession(OPTIONS);
  private ms = 0;
  private fds = 20;

  constructor() {
    this.lines.push({
      transcript: TRANSCRIPT_FORMAT,
      version: "1.2.3",
      port: "vm1",
      role: "listen",
      started: "2026-01-01T00:00:00.000Z",
      session: sessionToJson(OPTIONS),
    });
    this.transcript = new Transcript({
      write: (line) => this.lines.push(line),
      now: () => this.ms++ / 8,
      describe: (fd) => ({ kind: "eventfd", was: fd }),
    });
  }

  send(name: FrontEndRequest["name"], payload: Payload = { kind: "none" }, fdCount = 0, needReply = false): void {
    const fds = Array.from({ length: fdCount }, () => this.fds++);
    const bytes = encodeRequest({ name, payload, fds, needReply });
    const view = new DataView(bytes.buffer);
    this.receive(view.getUint32(0, true), view.getUint32(4, true), bytes.subarray(HEADER_SIZE), fds);
  }

  receive(request: number, flags: number, payload: Uint8Array, fds: number[]): void {
    const message = { request, flags, payload, fds };
    this.transcript.request(message);
    let turn = step(this.state, message);
    while (!turn.done) turn = settle(turn, this.run(turn.effects));
    this.state = turn.state;
    if (turn.reply !== null) this.transcript.reply(turn.reply);
  }

  close(reason: string): void {
    this.run(closeSession(this.state));
    this.transcript.closed(reason);
  }

  get text(): string {
    return transcriptText(this.lines);
  }

  /** The lines after the head, without their times. */
  get untimed(): unknown[] {
    return this.lines.slice(1).map((line) => {
      const { ms: _, ...rest } = line as TranscriptLine;
      return rest;
    });
  }

  private run(effects: readonly Effect[]): EffectOutcome[] {
    const outcomes = effects.map((effect): EffectOutcome => {
      const error = this.failing.get(effect.kind);
      if (error !== undefined) return { error };
      return effect.kind === "stopQueue" ? { nextAvail: 0xfffe } : {};
    });
    this.transcript.effects(effects, outcomes);
    return outcomes;
  }
}

function startedSession(): Recorded {
  const session = new Recorded();
  session.send("GET_FEATURES");
  session.send("SET_PROTOCOL_FEATURES", u64(1n << 3n));
  session.send("SET_FEATURES", u64((1n << 30n) | (1n << 32n)));
  session.send("SET_MEM_TABLE", memTable(region(0n, 32n * MIB)), 1, true);
  session.send("SET_VRING_NUM", vring(1, 256));
  session.send("SET_VRING_ADDR", vringAddr(1));
  session.send("SET_VRING_CALL", vringFd(1), 1);
  session.send("SET_VRING_KICK", vringFd(1), 1);
  session.send("SET_VRING_ENABLE", vring(1, 1));
  return session;
}

describe("lines", () => {
  test("a message has its name, flags, fields, bytes and descriptors; a reply the same", () => {
    const session = new Recorded();
    session.send("SET_PROTOCOL_FEATURES", u64(1n << 3n));
    session.send("SET_MEM_TABLE", memTable(region(MIB, 2n * MIB)), 1, true);
    expect(session.untimed[1]).toEqual({
      from: "front-end",
      request: 5,
      name: "SET_MEM_TABLE",
      flags: 9,
      needReply: true,
      payload: {
        regions: [
          { guestAddress: "0x100000", size: "0x200000", userAddress: "0x7f0000100000", mmapOffset: "0x100000" },
        ],
      },
      hex: `0100000000000000${"0000100000000000"}${"0000200000000000"}${"00001000007f0000"}${"0000100000000000"}`,
      fds: [{ fd: "fd1", kind: "eventfd", was: 20 }],
    });
    expect(session.untimed[2]).toMatchObject({ effect: { kind: "setMemory", fds: ["fd1"] }, outcome: {} });
    expect(session.untimed[3]).toEqual({
      from: "back-end",
      request: 5,
      name: "SET_MEM_TABLE",
      flags: 5,
      payload: { value: "0x0" },
      hex: "0000000000000000",
    });
  });

  test("an effect stands with its outcome, and a ring's changes stand by themselves", () => {
    const session = startedSession();
    session.send("SET_VRING_ENABLE", vring(1, 0));
    session.transcript.broken(1, "its guest did");
    session.send("GET_VRING_BASE", vring(1, 0));
    const rings = session.untimed.filter((line) => "ring" in (line as object));
    expect(rings).toEqual([
      { ring: 1, event: "started", at: 0 },
      { ring: 1, event: "enabled" },
      { ring: 1, event: "disabled" },
      { ring: 1, event: "broken", reason: "its guest did" },
      { ring: 1, event: "stopped", at: 0xfffe },
    ]);
    const start = session.untimed.find((line) => (line as { effect?: Effect }).effect?.kind === "startQueue");
    expect(start).toMatchObject({ effect: { index: 1, kick: "fd3", call: "fd2" }, outcome: {} });
    expect(session.untimed).toContainEqual({ effect: { kind: "stopQueue", index: 1 }, outcome: { nextAvail: 0xfffe } });
  });

  test("a start that fails is an outcome and no change of a ring", () => {
    const session = new Recorded();
    session.failing.set("startQueue", "no eventfd");
    session.send("SET_MEM_TABLE", memTable(region(0n, 32n * MIB)), 1);
    session.send("SET_VRING_NUM", vring(0, 256));
    session.send("SET_VRING_ADDR", vringAddr(0));
    session.send("SET_VRING_KICK", vringFd(0), 1);
    const start = session.untimed.find((line) => (line as { effect?: Effect }).effect?.kind === "startQueue");
    expect(start).toMatchObject({ outcome: { error: "no eventfd" } });
    expect(session.untimed.filter((line) => "ring" in (line as object))).toEqual([]);
  });

  test("a request that nobody knows, and one that does not decode, have their bytes", () => {
    const session = new Recorded();
    session.receive(4711, 1, Uint8Array.of(1, 2, 255), []);
    session.receive(1, 1, Uint8Array.of(9), []);
    expect(session.untimed).toContainEqual({
      from: "front-end",
      request: 4711,
      name: "request 4711",
      flags: 1,
      hex: "0102ff",
    });
    expect(session.untimed).toContainEqual({
      from: "front-end",
      request: 1,
      name: "GET_FEATURES",
      flags: 1,
      hex: "09",
    });
  });

  test("a descriptor number that comes again is another descriptor", () => {
    const session = new Recorded();
    session.receive(12, 1, bytesOf("0000000000000000"), [7]);
    session.receive(13, 1, bytesOf("0000000000000000"), [7]);
    const named = session.untimed.flatMap((line) => (line as { fds?: { fd: string }[] }).fds ?? []);
    expect(named.map(({ fd }) => fd)).toEqual(["fd1", "fd2"]);
  });
});

describe("a replay", () => {
  test("writes the transcript again, byte for byte", () => {
    const session = startedSession();
    session.transcript.broken(1, "its guest did");
    session.send("GET_VRING_BASE", vring(1, 0));
    session.send("SET_FEATURES", u64(1n << 50n), 0, true);
    session.close("the front-end closed its socket");
    expect(replay(session.text)).toBe(session.text);
    expect(repliesOf(session.text)).toHaveLength(4);
    expect(requestNames(session.text)).toContain("GET_VRING_BASE");
  });

  test("of a session whose effects fail gives them the same outcomes", () => {
    const session = new Recorded();
    session.failing.set("setMemory", "not shared");
    session.send("SET_PROTOCOL_FEATURES", u64(1n << 3n));
    session.send("SET_MEM_TABLE", memTable(region(0n, MIB)), 1, true);
    session.close("gone");
    expect(repliesOf(session.text)).toEqual(["5 5 0100000000000000"]);
    expect(replay(session.text)).toBe(session.text);
  });

  test("shows a session that answers otherwise", () => {
    const session = startedSession();
    session.close("gone");
    const text = session.text.replace('"features":"0x140000000"', '"features":"0x40000000"');
    expect(repliesOf(replay(text))).not.toEqual(repliesOf(session.text));
  });
});

describe("reading", () => {
  test("session options come back as they were", () => {
    const options = { ...OPTIONS, mac: 0xff0002n, bytes: Uint8Array.of(2, 0, 255) };
    expect(sessionFromJson(JSON.parse(JSON.stringify(sessionToJson(options))))).toEqual(options);
    expect(bytesOf(hexOf(Uint8Array.of(0, 16, 255)))).toEqual(Uint8Array.of(0, 16, 255));
  });

  test("a last line that was cut off is left out", () => {
    const { text } = startedSession();
    expect(parseTranscript(text).torn).toBe(false);
    const torn = parseTranscript(text.slice(0, -3));
    expect(torn.torn).toBe(true);
    expect(torn.lines).toHaveLength(parseTranscript(text).lines.length - 1);
  });

  test.each([
    ["", "this is no transcript"],
    ["{}\n", "this is no transcript"],
    ["no JSON\n", "line 1 is no JSON object"],
    ['{"transcript":99}\n', "has format 99, this program reads format 1"],
    ['{"transcript":1}\n[]\n', "line 2 is no line of a transcript"],
    ['{"transcript":1}\n{"ms":1,"what":2}\n', "line 2 is no line of a transcript"],
    ['{"transcript":1}\n{"ms":1,"closed":"x"}\n7\n', "line 3 is no JSON object"],
  ])("%j is none", (text, message) => {
    expect(() => parseTranscript(text)).toThrow(message);
  });

  test("every request of the specification is named as in the table", () => {
    const session = new Recorded();
    for (let request = 1; request <= 45; request++)
      session.transcript.request({ request, flags: 1, payload: new Uint8Array(), fds: [] });
    expect(session.lines.slice(1).map((line) => (line as { name: string }).name)).toEqual(
      Array.from({ length: 45 }, (_, i) => messageByNumber(i + 1)!.name),
    );
  });
});
