// A state as a string for a URL: bytes in base64url, numbers as varints, a version in front and a check at the end. The same
// string is the same moment on every engine.

import type { Operation } from "./driver/net.js";
import { hex } from "../../testing/bytes.js";
import { BAD_CHAINS } from "./driver/hostile.js";
import type { Fault } from "./log.js";
import { checkSetup, type GuestSetup, type Setup } from "./setup.js";
import type { Move, State } from "./state.js";

const VERSION = 1;
const NO_CORE = "00000000";
const MOVES_MOST = 100_000;
/** What a clock of 32 bits may pass in one move. */
const SECONDS_MOST = 1_000_000;
/** More than any machine makes between two looks at a clock. */
const STEPS_MOST = 10_000_000;

const MOVES = ["device", "driver", "operation", "fault", "time"] as const;
const OPERATIONS = ["send", "post", "receive", "reclaim", "calls", "send-bad"] as const;
const FAULTS = ["hold-store", "let-go", "lose-kick", "lose-call", "skip-recheck"] as const;
const QUEUES = ["receiveq", "transmitq"] as const;
const LEAVES = [undefined, "checksum", "segments"] as const;
const FLAGS = ["mergeable", "indirect", "eventIdx", "offloads"] as const;
/** Where a frame goes: guests by their numbers, then these. */
const ELSEWHERE = ["broadcast", "unknown"] as const;
const GUESTS = 3;

/** The state as characters that a URL's fragment takes as they are. */
export function encodeState({ setup, moves, core = NO_CORE }: State): string {
  const out: number[] = [];
  const put = (value: number) => {
    for (let left = value; ; left = Math.floor(left / 128)) {
      if (left < 128) {
        out.push(left);
        return;
      }
      out.push((left % 128) | 128);
    }
  };
  const putWord = <T>(words: readonly T[], word: T) => put(words.indexOf(word));
  for (let i = 0; i < NO_CORE.length; i += 2) out.push(Number.parseInt(core.slice(i, i + 2), 16));
  putSetup(setup, put);
  put(moves.length);
  for (const move of moves) {
    putWord(MOVES, move.do);
    if (move.do === "fault") {
      putFault(move.fault, put);
      continue;
    }
    if (move.do === "time") {
      put(move.seconds);
      continue;
    }
    if (move.do !== "device") put(move.guest);
    if (move.do === "operation") putOperation(move.operation, put);
    else put(move.steps);
  }
  const sum = checkOf(out);
  return `${VERSION}.${toBase64([...out, sum >> 8, sum & 255])}`;
}

function putSetup({ seed, guests, learned, device }: Setup, put: (value: number) => void): void {
  put(seed);
  put(device === "asleep" ? 1 : 0);
  put(guests.length);
  for (const guest of guests) {
    put(
      FLAGS.reduce((set, flag, i) => set | (Number(guest[flag]) << i), guest.ring === "packed" ? 1 << FLAGS.length : 0),
    );
    put(guest.size);
    put(guest.rxBuffers);
    put(guest.rxBufferBytes);
  }
  put(learned.reduce((set, guest) => set | (1 << guest), 0));
}

function putFault(fault: Fault, put: (value: number) => void): void {
  put(FAULTS.indexOf(fault.fault));
  if (fault.fault === "skip-recheck") put(Number(fault.skip));
  else put(fault.guest);
  if (fault.fault === "hold-store") put(fault.accesses);
}

function putOperation(operation: Operation, put: (value: number) => void): void {
  put(OPERATIONS.indexOf(operation.do));
  if (operation.do === "send") {
    put(typeof operation.to === "number" ? operation.to : GUESTS + ELSEWHERE.indexOf(operation.to));
    put(operation.payload);
    const { pieces, indirect } = operation;
    put(
      (indirect === undefined ? 0 : indirect ? 2 : 1) +
        3 * LEAVES.indexOf(operation.leave) +
        9 * Number(pieces !== undefined),
    );
    if (pieces) for (const value of [pieces.length, ...pieces]) put(value);
  } else if (operation.do === "post") put(operation.buffers);
  else if (operation.do === "receive") put(operation.again === undefined ? 0 : operation.again ? 2 : 1);
  else if (operation.do === "calls") put(QUEUES.indexOf(operation.queue) * 2 + Number(operation.wanted));
  else if (operation.do === "send-bad") put(BAD_CHAINS.indexOf(operation.bad));
}

/** The state of such a string. Throws an Error that says what is wrong with it: it may be anything. */
export function decodeState(text: string): State {
  const [, version, body] = /^(\d{1,4})\.([\w-]*)$/.exec(text.trim()) ?? [];
  if (version === undefined)
    throw new Error("this link holds no state of the explorer: it must begin with a number and a dot");
  if (Number(version) !== VERSION)
    throw new Error(`this link is of version ${version} of the explorer, this page reads ${VERSION}`);
  const bytes = fromBase64(body!);
  const reader = new Reader(bytes.subarray(0, -2));
  const whole = bytes.length >= 2 && toBase64([...bytes]) === body;
  if (!whole || checkOf(reader.bytes) !== (bytes.at(-2)! << 8) + bytes.at(-1)!) {
    throw new Error("this link is damaged: some of its characters are missing or others");
  }
  const core = reader.hex(NO_CORE.length / 2);
  const setup = checkSetup(readSetup(reader));
  const moves = Array.from({ length: reader.number("moves", MOVES_MOST) }, () => readMove(reader, setup.guests.length));
  reader.end();
  return core === NO_CORE ? { setup, moves } : { setup, moves, core };
}

function readSetup(reader: Reader): Setup {
  const seed = reader.number("seed", 0xffffffff);
  const device = reader.word("device", ["polling", "asleep"] as const);
  const guests = Array.from({ length: reader.number("guests", GUESTS) }, (): GuestSetup => {
    const set = reader.number("features", 31);
    const has = (flag: (typeof FLAGS)[number]) => ((set >> FLAGS.indexOf(flag)) & 1) === 1;
    const [mergeable, indirect, eventIdx, offloads] = FLAGS.map(has) as [boolean, boolean, boolean, boolean];
    const ring = set >> FLAGS.length ? "packed" : "split";
    const [size, rxBuffers] = [reader.number("size", 64), reader.number("receive buffers", 64)];
    return {
      ring,
      size,
      mergeable,
      indirect,
      eventIdx,
      offloads,
      rxBuffers,
      rxBufferBytes: reader.number("bytes", 4096),
    };
  });
  const known = reader.number("learned", 7);
  return { seed, device, guests, learned: [0, 1, 2].filter((guest) => (known >> guest) & 1) };
}

function readMove(reader: Reader, guests: number): Move {
  const kind = reader.word("move", MOVES);
  if (kind === "fault") return { do: kind, fault: readFault(reader, guests) };
  if (kind === "time") return { do: kind, seconds: reader.number("seconds", SECONDS_MOST) };
  if (kind === "device") return { do: kind, steps: reader.number("steps", STEPS_MOST) };
  const guest = reader.number("guest", guests - 1);
  if (kind === "driver") return { do: kind, guest, steps: reader.number("steps", STEPS_MOST) };
  return { do: kind, guest, operation: readOperation(reader, guests) };
}

function readFault(reader: Reader, guests: number): Fault {
  const fault = reader.word("fault", FAULTS);
  if (fault === "skip-recheck") return { fault, skip: reader.number("skip", 1) === 1 };
  const guest = reader.number("guest", guests - 1);
  return fault === "hold-store" ? { fault, guest, accesses: reader.number("accesses", STEPS_MOST) } : { fault, guest };
}

function readOperation(reader: Reader, guests: number): Operation {
  const kind = reader.word("operation", OPERATIONS);
  if (kind === "post") return { do: kind, buffers: reader.number("buffers", 64) };
  if (kind === "reclaim") return { do: kind };
  if (kind === "send-bad") return { do: kind, bad: reader.word("bad chain", BAD_CHAINS) };
  if (kind === "receive") {
    const again = reader.number("again", 2);
    return again === 0 ? { do: kind } : { do: kind, again: again === 2 };
  }
  if (kind === "calls") {
    const which = reader.number("queue", 3);
    return { do: kind, queue: QUEUES[which >> 1]!, wanted: (which & 1) === 1 };
  }
  const where = reader.number("destination", GUESTS + ELSEWHERE.length - 1);
  if (where < GUESTS && where >= guests) throw new Error(`this link sends to guest ${where}, of which there is none`);
  const operation: Operation = {
    do: kind,
    to: where < GUESTS ? where : ELSEWHERE[where - GUESTS]!,
    payload: reader.number("payload", 4096),
  };
  const shape = reader.number("shape", 17);
  if (shape >= 9)
    operation.pieces = Array.from({ length: reader.number("pieces", 64) }, () => reader.number("piece", 65535));
  if (shape % 3 > 0) operation.indirect = shape % 3 === 2;
  const leave = LEAVES[Math.floor(shape / 3) % 3];
  if (leave) operation.leave = leave;
  return operation;
}

class Reader {
  private at = 0;
  constructor(readonly bytes: Uint8Array) {}

  number(what: string, most: number): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++];
      if (byte === undefined || scale > 2 ** 42) throw new Error(`this link ends in the middle: no ${what}`);
      value += (byte & 127) * scale;
      if (byte < 128) break;
    }
    if (value > most) throw new Error(`this link says ${what} ${value}: at most ${most} can be`);
    return value;
  }

  hex(bytes: number): string {
    if (this.at + bytes > this.bytes.length) throw new Error("this link ends in the middle: no build");
    this.at += bytes;
    return hex(this.bytes.subarray(this.at - bytes, this.at));
  }

  word<T>(what: string, words: readonly T[]): T {
    return words[this.number(what, words.length - 1)]!;
  }

  end(): void {
    if (this.at !== this.bytes.length) throw new Error(`this link has ${this.bytes.length - this.at} bytes too many`);
  }
}

/** CRC-16/CCITT: tells cut or mistyped links from whole ones. */
function checkOf(bytes: ArrayLike<number>): number {
  let sum = 0xffff;
  for (let i = 0; i < bytes.length; i++) {
    sum ^= bytes[i]! << 8;
    for (let bit = 0; bit < 8; bit++) sum = ((sum << 1) ^ (sum & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return sum;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

function toBase64(bytes: readonly number[]): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const digits = Math.min(4, bytes.length - i + 1);
    for (let digit = 0; digit < digits; digit++) text += DIGITS[(word >> (18 - 6 * digit)) & 63];
  }
  return text;
}

function fromBase64(text: string): Uint8Array {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i += 4) {
    const digits = Array.from(text.slice(i, i + 4), (digit) => DIGITS.indexOf(digit));
    const word = digits.reduce((sum, digit, place) => sum | (digit << (18 - 6 * place)), 0);
    for (let byte = 0; byte < digits.length - 1; byte++) bytes.push((word >> (16 - 8 * byte)) & 255);
  }
  return Uint8Array.from(bytes);
}
