// Sources of frames: when the next one goes, and what it is. A source is a value; `Lab.traffic` sets it going.

import { type RecordedFrame, readCapture } from "../capture/read.js";
import { MILLISECOND, SECOND } from "./clock.js";
import { get16, put16, put32 } from "./bytes.js";
import { fold } from "./frames/checksum.js";
import type { Station } from "./frames/address.js";
import { udp } from "./frames/transport.js";
import { isFor, type LabGuest, type SendOptions } from "./guest.js";
import type { Lab } from "./lab.js";
import type { FlowCounts } from "./ledger.js";
import { exponential, type Random } from "./random.js";

/** Simple IMIX: seven frames of 60 bytes, four of 566 and one of 1514, spread over the round. */
export const IMIX: readonly number[] = [60, 566, 60, 60, 566, 60, 1514, 60, 566, 60, 566, 60];

/** What comes next: nanoseconds after the frame before, and the frame. */
export interface NextFrame {
  after: number;
  frame: Uint8Array;
}

/** A source: for a sender, the number of its flow and its own random numbers, the frames one after the other. */
export type Source = (from: Station, flow: number, random: Random) => Iterator<NextFrame>;

/** What a source with a rate sends, and how often. */
export interface RateOptions {
  to: Station | "broadcast";
  /** Frames in a second. */
  perSecond: number;
  /** Frame lengths in bytes, without check sequence, 60 or more, sent in turn. Default 60. */
  sizes?: number | readonly number[];
  /** Frames that come at once, the next so many after as many gaps. Default 1. */
  burst?: number;
  /** How many frames; default without end. */
  count?: number;
  /** Makes frame `number` of `length` bytes. Default UDP over IPv4 that carries flow and number. */
  make?: (number: number, length: number) => Uint8Array;
}

/** Frames at a constant rate. */
export function constantRate(options: RateOptions): Source {
  return rated(options, (gap) => gap);
}

/** Frames at random times with that rate on average: a Poisson process. */
export function poisson(options: RateOptions): Source {
  return rated(options, (gap, random) => gap * exponential(random.fraction()));
}

/** The frames of a pcap or pcapng file, at the times it has; `speed` 2 is twice as fast. Throws when it is no such file. */
export function replay(file: Uint8Array, { speed = 1 }: { speed?: number } = {}): Source {
  const frames: RecordedFrame[] = readCapture(file);
  return function* () {
    let before = 0;
    for (const { time, bytes } of frames) {
      yield { after: Math.max(0, time - before) / speed, frame: bytes };
      before = time;
    }
  };
}

function rated(options: RateOptions, gapFor: (gap: number, random: Random) => number): Source {
  const { to, perSecond, sizes = 60, burst = 1, count = Number.POSITIVE_INFINITY } = options;
  const lengths = typeof sizes === "number" ? [sizes] : sizes;
  if (!(perSecond > 0)) throw new Error(`a rate is more than 0 frames a second, not ${perSecond}`);
  return function* (from, flow, random) {
    const make = options.make ?? numberer(from, to, flow);
    for (let number = 0; number < count; number++) {
      const length = lengths[number % lengths.length]!;
      const after = number % burst === 0 ? gapFor((burst * SECOND) / perSecond, random) : 0;
      yield { after, frame: make(number, length) };
    }
  };
}

/** A UDP frame of that many bytes which no other flow and number has. */
export function numbered(from: Station, to: Station | "broadcast", flow: number, number: number, length: number) {
  const payload = new Uint8Array(Math.max(8, length - 42));
  put32(payload, 0, flow);
  put32(payload, 4, number);
  return udp({ from, to, payload });
}

/** Makes the frames of `numbered`, each from the first one of its length: only the number and the checksum differ. */
function numberer(
  from: Station,
  to: Station | "broadcast",
  flow: number,
): (number: number, length: number) => Uint8Array {
  const first = new Map<number, Uint8Array>();
  return (number, length) => {
    let model = first.get(length);
    if (!model) {
      model = numbered(from, to, flow, 0, length);
      first.set(length, model);
    }
    const frame = model.slice();
    put32(frame, UDP_PAYLOAD + 4, number);
    // Sums of one's complement: what the number adds is added to what was there (RFC 1624).
    const sum = fold((~get16(frame, UDP_CHECKSUM) & 0xffff) + (number >>> 16) + (number & 0xffff));
    put16(frame, UDP_CHECKSUM, ~sum & 0xffff || 0xffff);
    return frame;
  };
}

/** Offsets in a frame with UDP over IPv4. */
const UDP_CHECKSUM = 40;
const UDP_PAYLOAD = 42;

/** A source at work. */
export class Flow implements FlowCounts {
  sent = 0;
  received = 0;
  readonly latencies: number[] = [];
  reordered = 0;
  readonly latest: FlowCounts["latest"] = new Map();
  /** Frames for which the sender's ring had no room. */
  refused = 0;
  done = false;
  private readonly frames: Iterator<NextFrame>;
  private readonly options: SendOptions;
  /** The frame whose time comes next. */
  private due: Uint8Array | undefined;
  private readonly onTime = () => this.send();

  /** Use `Lab.traffic`. */
  constructor(
    readonly lab: Lab,
    readonly from: LabGuest,
    source: Source,
    number: number,
    random: Random,
    options: Pick<SendOptions, "pair" | "offload"> = {},
  ) {
    this.options = { ...options, flow: this };
    this.frames = source(from, number, random);
    this.next();
  }

  /** Frames that found room and were received by nobody, so far. */
  get missing(): number {
    return this.sent - this.received;
  }

  /** Sends no more. */
  stop(): void {
    this.done = true;
  }

  private next(): void {
    const { done, value } = this.frames.next();
    if (done) {
      this.done = true;
      return;
    }
    this.due = value.frame;
    this.lab.clock.after(value.after, this.onTime, "background");
  }

  private send(): void {
    if (this.done) return;
    // A guest that stands still sends nothing either.
    if (this.from.trouble.stalled || !this.from.send(this.due!, this.options)) this.refused++;
    this.next();
  }
}

/** Who asks whom how often. */
export interface ExchangeOptions {
  client: LabGuest;
  server: LabGuest;
  /** Requests. */
  count: number;
  /** Lengths of a request's and an answer's frame in bytes. Default 60 and 60. */
  request?: number;
  answer?: number;
  /** Milliseconds from an answer to the next request, and until a request is given up. Default 0 and 100. */
  think?: number;
  timeout?: number;
}

/** Requests one after the other: each waits for the answer to the one before. Listens at both guests' `onFrame`. */
export class Exchange {
  asked = 0;
  answered = 0;
  timedOut = 0;
  /** Milliseconds from request to answer. */
  readonly roundTrips: number[] = [];
  /** In the place of a flow's number. */
  private readonly flow: number;
  private number = 0;
  private askedAt = 0;
  private stopped = false;

  constructor(private readonly options: ExchangeOptions) {
    const { client, server } = options;
    const { lab } = client;
    // Linked labs have different sites.
    this.flow = EXCHANGES - (lab.options.site ?? 0) * 0x1_0000 - lab.exchanges++;
    listen(server, (frame) => this.answer(frame));
    listen(client, (frame) => this.answeredBy(frame));
    this.ask();
  }

  /** Whether every request was answered or given up. */
  get done(): boolean {
    return this.stopped || this.answered + this.timedOut === this.options.count;
  }

  /** Asks no more; what is under way may still be answered. */
  stop(): void {
    this.stopped = true;
  }

  private ask(): void {
    const { client, server, request = 60, timeout = 100 } = this.options;
    const number = this.number;
    this.askedAt = client.lab.clock.now;
    this.asked++;
    client.send(this.frame(client, server, number, request));
    client.lab.clock.after(timeout * MILLISECOND, () => this.giveUp(number));
  }

  private answer(frame: Uint8Array): void {
    const { client, server, answer = 60 } = this.options;
    const number = this.numberOf(frame, server);
    if (number !== undefined) server.send(this.frame(server, client, number, answer));
  }

  private answeredBy(frame: Uint8Array): void {
    const { client } = this.options;
    if (this.numberOf(frame, client) !== this.number || this.settled) return;
    this.answered++;
    this.roundTrips.push((client.lab.clock.now - this.askedAt) / MILLISECOND);
    this.goOn();
  }

  private giveUp(number: number): void {
    if (number !== this.number || this.settled) return;
    this.timedOut++;
    this.goOn();
  }

  private get settled(): boolean {
    return this.answered + this.timedOut === this.asked;
  }

  private goOn(): void {
    this.number++;
    const { client, think = 0 } = this.options;
    if (this.done) return;
    client.lab.clock.after(think * MILLISECOND, () => {
      if (!this.done) this.ask();
    });
  }

  private frame(from: LabGuest, to: LabGuest, number: number, length: number): Uint8Array {
    return numbered(from, to, this.flow, number, length);
  }

  /** The number of a frame of ours that is for this guest. */
  private numberOf(frame: Uint8Array, guest: LabGuest): number | undefined {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const ours = frame.length >= 50 && view.getUint32(42) === this.flow && isFor(frame, guest);
    return ours ? view.getUint32(46) : undefined;
  }
}

/** Numbers of exchanges count down from here. */
const EXCHANGES = 0xffff_fffe;

function listen(guest: LabGuest, listener: (frame: Uint8Array) => void): void {
  const before = guest.onFrame;
  guest.onFrame = (frame, origin) => {
    before?.(frame, origin);
    listener(frame);
  };
}
