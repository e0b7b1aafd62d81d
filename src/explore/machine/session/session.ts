// A vhost-user connection, one message at a time: what the front-end sends, which descriptors come with it, what the switch's
// session makes of it, and how regions of the guest's RAM become windows in linear memory. The session is the switch's own
// (src/vhost-user/session.ts); only what would touch a real descriptor is played.

import { WINDOWS_START } from "../../../core/bridge.js";
import { RangeAllocator } from "../../../core/ranges.js";
import type { Effect, EffectOutcome, MemoryRegion, RingSetup } from "../../../vhost-user/effects.js";
import { FEATURE_NAMES, PROTOCOL_FEATURE_NAMES } from "../../../vhost-user/features.js";
import {
  decodeReply,
  encodeRequest,
  expectsReply,
  type FrontEndRequest,
  type Script,
} from "../../../vhost-user/front-end-session.js";
import { HEADER_SIZE, MESSAGES, type Payload, type WireMessage } from "../../../vhost-user/message.js";
import { createSession, settle, step } from "../../../vhost-user/session.js";
import type { SessionState } from "../../../vhost-user/state.js";
import { descriptorText, type SessionOptions, wholeLife, withMistake } from "./front-end.js";
import { namesOf, type WireField, wireFields } from "./wire-fields.js";

/** One message and what came of it. */
export interface Exchange {
  /** From 1. */
  number: number;
  name: string;
  bytes: Uint8Array;
  fields: WireField[];
  /** Descriptors that came with it in SCM_RIGHTS, as the switch's process numbers them, and what each is. */
  fds: { fd: number; text: string }[];
  /** What the session asked the switch to do, in sentences. */
  effects: string[];
  reply?: { bytes: Uint8Array; fields: WireField[] };
  /** Why it was refused, or why the connection is closed. */
  refused?: string;
  /** The connection is over. */
  closed: boolean;
}

/** A region of the guest's RAM under its four addresses. */
export interface RegionView extends MemoryRegion {
  fd: number;
  /** Offset of its window in linear memory. */
  window: number;
}

/** A part of a ring, as the message gave its address and as the core uses it. */
export interface RingPartView {
  name: string;
  userAddress: bigint;
  /** Undefined while it lies in no region. */
  guestAddress?: bigint;
  offset?: number;
}

export interface RingView {
  index: number;
  name: "receiveq" | "transmitq";
  size: number;
  kick: number | null;
  call: number | null;
  enabled: boolean;
  running: boolean;
  parts: RingPartView[];
}

export interface SessionView {
  regions: RegionView[];
  rings: RingView[];
  features: string;
  protocolFeatures: string;
}

const MEMORY_END = 2 ** 32;
/** In-process: a window begins on a page. */
const PAGE = 4096;
const PART_NAMES = {
  split: ["descriptor table", "avail ring", "used ring"],
  packed: ["descriptor ring", "driver event area", "device event area"],
};

export class SessionSteps {
  readonly exchanges: Exchange[] = [];
  private state: SessionState;
  private script: Script<void>;
  private next: IteratorResult<FrontEndRequest, void>;
  private regions: RegionView[] = [];
  private readonly windows = new RangeAllocator(WINDOWS_START, MEMORY_END);
  private readonly running = new Map<number, RingSetup>();
  private over = false;

  constructor(readonly options: SessionOptions) {
    this.state = createSession();
    this.script = wholeLife(options);
    this.next = this.script.next();
  }

  /** The name of the message that comes next; undefined when there is none. */
  get nextName(): string | undefined {
    return this.next.done || this.over ? undefined : this.next.value.name;
  }

  /** The next message. Undefined: the front-end has no more to say, or has given up. */
  step(): Exchange | undefined {
    if (this.next.done || this.over) return undefined;
    const request = this.next.value;
    const { bytes, fds } = withMistake(request, encodeRequest(request), this.options.mistake);
    const exchange: Exchange = {
      number: this.exchanges.length + 1,
      name: request.name,
      bytes,
      fields: wireFields(bytes),
      fds: fds.map((fd) => ({ fd, text: descriptorText(fd) })),
      effects: [],
      closed: false,
    };
    this.exchanges.push(exchange);
    const reply = this.receive(exchange, messageOf(bytes, fds));
    this.answer(request, exchange, reply);
    return exchange;
  }

  /** A session that has seen the first `count` messages only. */
  at(count: number): SessionSteps {
    const other = new SessionSteps(this.options);
    while (other.exchanges.length < count && other.step()) {}
    return other;
  }

  view(): SessionView {
    const { features, protocolFeatures, rings } = this.state;
    return {
      regions: this.regions,
      rings: Object.entries(rings).map(([index, ring]) => ({
        index: Number(index),
        name: Number(index) % 2 === 0 ? "receiveq" : "transmitq",
        size: ring.size,
        kick: ring.kick,
        call: ring.call,
        enabled: ring.enabled,
        running: ring.running,
        parts: ring.addresses ? this.partsOf(ring.addresses) : [],
      })),
      features: features === null ? "not yet" : namesOf(features, FEATURE_NAMES),
      protocolFeatures: namesOf(protocolFeatures, PROTOCOL_FEATURE_NAMES),
    };
  }

  private receive(exchange: Exchange, message: WireMessage): Uint8Array | null {
    let turn = step(this.state, message);
    while (!turn.done)
      turn = settle(
        turn,
        turn.effects.map((effect) => this.run(effect, exchange)),
      );
    this.state = turn.state;
    if (turn.fault === undefined) return turn.reply;
    exchange.refused = turn.fault;
    exchange.closed = true;
    this.over = true;
    return null;
  }

  /** The front-end hears the answer, and goes on or gives up. */
  private answer(request: FrontEndRequest, exchange: Exchange, reply: Uint8Array | null): void {
    if (exchange.closed) return;
    let payload: Payload | null = null;
    if (reply && expectsReply(request)) {
      const { reply: kind } = MESSAGES[request.name];
      const fields = wireFields(reply, kind === "ack" ? "u64" : kind === "other" ? "none" : kind);
      exchange.reply = { bytes: reply, fields };
      payload = decodeReply(request, messageOf(reply, []));
    }
    try {
      this.next = this.script.next(payload);
    } catch (error) {
      exchange.refused ??= (error as Error).message;
      this.over = true;
    }
  }

  /** What the switch does, without the system calls; the outcomes are those of calls that go well. */
  private run(effect: Effect, exchange: Exchange): EffectOutcome {
    const { effects } = exchange;
    switch (effect.kind) {
      case "setMemory":
        this.dropRegions(() => true, exchange);
        effect.regions.forEach((region, i) => {
          this.map(region, effect.fds[i]!, exchange);
        });
        return {};
      case "addRegion":
        this.map(effect.region, effect.fd, exchange);
        return {};
      case "removeRegion":
        this.dropRegions(({ guestAddress }) => guestAddress === effect.region.guestAddress, exchange);
        return {};
      case "startQueue":
        this.running.set(effect.index, effect.ring);
        effects.push(
          `starts the ${queueName(effect.index)} where its ring lies, at index ${effect.ring.nextAvail & 0x7fff}`,
        );
        return {};
      case "stopQueue": {
        const nextAvail = this.running.get(effect.index)?.nextAvail ?? 0;
        this.running.delete(effect.index);
        effects.push(`stops the ${queueName(effect.index)} and waits until no worker is in it`);
        return { nextAvail };
      }
      case "setFeatures":
        effects.push("derives header size, ring form and event idx from the features");
        return {};
      case "setEnabled":
        effects.push(`${effect.enabled ? "enables" : "disables"} the ${queueName(effect.index)}`);
        return {};
      case "close":
        effects.push(`closes descriptors ${effect.fds.join(", ")}`);
        return {};
      case "log":
        if (effect.level === "warn") exchange.refused = effect.text;
        effects.push(`tells the operator: ${effect.text}`);
        return {};
      default:
        effects.push(`${effect.kind}`);
        return {};
    }
  }

  private map(region: MemoryRegion, fd: number, { effects }: Exchange): void {
    const window = this.windows.allocate(Number(region.size), PAGE)!;
    this.regions = [...this.regions, { ...region, fd, window }];
    const size = `${region.size / 1024n} KiB`;
    effects.push(
      `maps ${size} of descriptor ${fd}, from ${hex(region.mmapOffset)} on, over linear memory at ${hex(window)}`,
    );
  }

  private dropRegions(gone: (region: RegionView) => boolean, { effects }: Exchange): void {
    for (const { window, size } of this.regions.filter(gone)) {
      this.windows.release(window, Number(size));
      effects.push(`unmaps the window at ${hex(window)}`);
    }
    this.regions = this.regions.filter((region) => !gone(region));
  }

  private partsOf(addresses: { desc: bigint; avail: bigint; used: bigint }): RingPartView[] {
    return (["desc", "avail", "used"] as const).map((key, i) => {
      const userAddress = addresses[key];
      const part: RingPartView = { name: PART_NAMES[this.options.ring][i]!, userAddress };
      const region = this.regions.find(
        (one) => userAddress >= one.userAddress && userAddress < one.userAddress + one.size,
      );
      if (!region) return part;
      const offset = userAddress - region.userAddress;
      return { ...part, guestAddress: region.guestAddress + offset, offset: region.window + Number(offset) };
    });
  }
}

function messageOf(bytes: Uint8Array, fds: readonly number[]): WireMessage {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    request: view.getUint32(0, true),
    flags: view.getUint32(4, true),
    payload: bytes.slice(HEADER_SIZE),
    fds: [...fds],
  };
}

function queueName(index: number): "receiveq" | "transmitq" {
  return index % 2 === 0 ? "receiveq" : "transmitq";
}

function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}
