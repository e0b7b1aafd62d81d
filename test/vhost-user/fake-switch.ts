// The switch's side of a session for tests: it runs effects against a model of rings, memory and descriptors, and
// throws at once when the session breaks one of the boundary's rules (src/vhost-user/effects.ts).

import type {
  Effect,
  EffectOutcome,
  Fd,
  InflightFile,
  MemoryRegion,
  RingSetup,
  Translation,
} from "../../src/vhost-user/effects.js";
import {
  decodeReply,
  encodeRequest,
  expectsReply,
  type FrontEndRequest,
  type Script,
} from "../../src/vhost-user/front-end-session.js";
import { Framer } from "../../src/vhost-user/framing.js";
import { FLAG_NEED_REPLY, FLAG_VERSION, HEADER_SIZE, type Payload } from "../../src/vhost-user/message.js";
import { usesIotlb } from "../../src/vhost-user/iotlb.js";
import { closeSession, createSession, type SessionOptions, settle, step } from "../../src/vhost-user/session.js";
import { ownedFds, ringsWhere, type SessionState } from "../../src/vhost-user/state.js";

export interface RunningRing {
  ring: RingSetup;
  kick: Fd | null;
  call: Fd | null;
  err: Fd | null;
  enabled: boolean;
}

export interface Answer {
  /** The reply's payload as bytes, or null when there was no reply. */
  reply: Uint8Array | null;
  /** Descriptors that went with it. */
  replyFds: number;
  fault: string | undefined;
  effects: Effect[];
  logs: string[];
}

/** Where this switch maps the region at a guest address. */
export function mappedAt(guestAddress: bigint): bigint {
  return 0x5500_0000_0000n + guestAddress;
}

export const REPLY_ACK_ON = 1n << 3n;
const LOG_ALL = 1n << 26n;

export class FakeSwitch {
  state: SessionState;
  readonly open = new Set<Fd>();
  readonly running = new Map<number, RunningRing>();
  regions: MemoryRegion[] = [];
  features: bigint | null = null;
  log: { size: bigint; offset: bigint } | null = null;
  transferring = false;
  inflight: InflightFile | null = null;
  translations: readonly Translation[] | null = null;
  backendSocket: Fd | null = null;
  logFd: Fd | null = null;
  /** Addresses of which the translation was asked for, with the access. */
  readonly asked: [bigint, number][] = [];
  /** There is a userfaultfd. */
  userfault = false;
  /** Guest addresses of regions whose pages come late. */
  readonly late = new Set<bigint>();
  /** Queues of which the inflight area was told to forget. */
  readonly cleared: number[] = [];
  /** Effect kinds that fail, with the reason. */
  readonly failing = new Map<Effect["kind"], string>();
  /** How far each ring gets between start and stop. */
  progress = 5;
  #nextFd = 100;

  constructor(options: SessionOptions = {}) {
    this.state = deepFreeze(createSession(options));
  }

  /** A descriptor that has just come over the socket. */
  fd(): Fd {
    const fd = this.#nextFd++;
    this.open.add(fd);
    return fd;
  }

  fds(count: number): Fd[] {
    return Array.from({ length: count }, () => this.fd());
  }

  /** Carry out one request as a front-end would send it. */
  send(name: FrontEndRequest["name"], payload: Payload = { kind: "none" }, fds: Fd[] = [], needReply = false): Answer {
    return this.receive(encodeRequest({ name, payload, fds, needReply }), fds);
  }

  /** Like send with NEED_REPLY; the value acknowledged, or null when no acknowledgement came. */
  ack(name: FrontEndRequest["name"], payload: Payload, fds: Fd[] = []): bigint | null {
    const { reply } = this.send(name, payload, fds, true);
    return reply === null ? null : new DataView(reply.buffer, reply.byteOffset).getBigUint64(0, true);
  }

  /** A request with any number and any payload bytes. */
  sendRaw(request: number, payload: Uint8Array, fds: Fd[] = [], flags = FLAG_NEED_REPLY): Answer {
    const bytes = new Uint8Array(HEADER_SIZE + payload.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, request, true);
    view.setUint32(4, FLAG_VERSION | flags, true);
    view.setUint32(8, payload.length, true);
    bytes.set(payload, HEADER_SIZE);
    return this.receive(bytes, fds);
  }

  /** The bytes of exactly one request. */
  receive(bytes: Uint8Array, fds: Fd[]): Answer {
    const framed = new Framer("requests").push(bytes, fds);
    if (framed.fault !== undefined) throw new Error(`not a request: ${framed.fault.reason}`);
    const effects: Effect[] = [];
    let turn = step(this.state, framed.messages[0]!);
    while (!turn.done) {
      effects.push(...turn.effects);
      turn = settle(turn, this.run(turn.effects));
    }
    this.state = deepFreeze(turn.state);
    const replyFds = turn.replyFds.length;
    must(replyFds === 0 || turn.reply !== null, "descriptors for a reply that is not made");
    for (const fd of turn.replyFds) this.#closeFd(fd);
    this.checkBooks();
    const logs = effects.flatMap((e) => (e.kind === "log" ? [e.text] : []));
    const reply = turn.reply === null ? null : checkReply(turn.reply, framed.messages[0]!.request);
    return { reply, replyFds, fault: turn.fault, effects, logs };
  }

  /** Play a front-end's script to its end. Descriptors named in it are duplicated, as by sendmsg. */
  play<T>(script: Script<T>): { result: T; effects: Effect[]; names: string[] } {
    const effects: Effect[] = [];
    const names: string[] = [];
    let turn = script.next();
    while (!turn.done) {
      const request = turn.value;
      names.push(request.name);
      const answer = this.receive(encodeRequest(request), this.fds(request.fds.length));
      if (answer.fault !== undefined) throw new Error(answer.fault);
      effects.push(...answer.effects);
      if (expectsReply(request) !== (answer.reply !== null))
        throw new Error(`${request.name}: reply missing or surplus`);
      const { reply: bytes } = answer;
      const reply =
        bytes === null
          ? null
          : decodeReply(request, { request: requestNumber(request), flags: 5, payload: bytes, fds: [] });
      turn = script.next(reply);
    }
    return { result: turn.value, effects, names };
  }

  /** End the connection: afterwards nothing runs, nothing is mapped, nothing is open. */
  close(): Effect[] {
    const effects = closeSession(this.state);
    this.run(effects);
    return effects;
  }

  run(effects: readonly Effect[]): EffectOutcome[] {
    return effects.map((effect) => this.#runOne(effect));
  }

  /** No descriptor lost, and both sides agree on what runs and what is mapped. */
  checkBooks(): void {
    equal([...this.open].sort(), ownedFds(this.state).sort(), "open descriptors and those of the session");
    const running = ringsWhere(this.state, (ring) => ring.running);
    equal([...this.running.keys()].sort(), running.map(Number).sort(), "running rings");
    const { features, transfer } = this.state;
    // What the session believes about logging is so.
    if (features !== null) must(features === this.features, `features ${features} and ${this.features}`);
    must((transfer === "running") === this.transferring, "a transfer");
    must(this.backendSocket === this.state.backendSocket, "the socket for requests of our own");
    must((this.translations !== null) === usesIotlb(this.state), "translations where they are used");
    equal((this.translations ?? []).map(entry), this.state.iotlb.entries.map(entry), "translations");
    equal(this.regions.map(key), this.state.regions.map(key), "memory regions");
  }

  #comeLate(regions: readonly MemoryRegion[]): EffectOutcome {
    must(this.userfault, "pages that come late without a userfaultfd");
    for (const { guestAddress } of regions) this.late.add(guestAddress);
    return { addresses: regions.map(({ guestAddress }) => mappedAt(guestAddress)) };
  }

  #runOne(effect: Effect): EffectOutcome {
    const error = this.failing.get(effect.kind);
    const failed = error !== undefined;
    switch (effect.kind) {
      case "setFeatures":
        must(this.running.size === 0, "setFeatures while a ring runs");
        if (failed) break;
        this.features = effect.features;
        this.translations = effect.translated ? (this.translations ?? []) : null;
        break;
      case "setMtu":
        must(effect.mtu === null || (effect.mtu >= 68 && effect.mtu <= 65535), `setMtu ${effect.mtu}`);
        break;
      case "setMemory":
        must(this.running.size === 0, "setMemory while a ring runs");
        must((this.translations ?? []).length === 0, "setMemory under translations");
        must(effect.fds.length === effect.regions.length, "one descriptor for each region");
        for (const fd of effect.fds) this.#closeFd(fd);
        this.regions = failed ? [] : effect.regions;
        this.late.clear();
        if (!failed && effect.pages === "late") return this.#comeLate(effect.regions);
        break;
      case "addRegion":
        this.#closeFd(effect.fd);
        if (!failed) this.regions = [...this.regions, effect.region];
        if (!failed && effect.pages === "late") return this.#comeLate([effect.region]);
        break;
      case "removeRegion":
        must(this.regions.some(same(effect.region)), "removeRegion of a region that is not there");
        for (const { ring } of this.running.values()) {
          must(!insideOne(ring, [effect.region]).some(Boolean), "removeRegion under a running ring");
        }
        for (const { userAddress: at } of this.translations ?? []) {
          const inside = at >= effect.region.userAddress && at < effect.region.userAddress + effect.region.size;
          must(!inside, "removeRegion under a translation");
        }
        if (!failed) this.regions = this.regions.filter((r) => !same(effect.region)(r));
        this.late.delete(effect.region.guestAddress);
        break;
      case "startQueue": {
        must(!this.running.has(effect.index), `startQueue ${effect.index} which runs`);
        must(effect.index >= 0 && effect.index < 256, `startQueue ${effect.index}`);
        must(insideOne(effect.ring, this.regions).every(Boolean), "startQueue outside guest memory");
        must(this.state.postcopy !== "listening", "startQueue before anybody brings pages");
        const { size, packed, nextAvail } = effect.ring;
        must(size >= 1 && size <= 32768, "startQueue with a size that no ring has");
        must(packed ? (nextAvail & 0x7fff) < size : Number.isInteger(Math.log2(size)), "startQueue at no place");
        for (const fd of [effect.kick, effect.call, effect.err])
          must(fd === null || this.open.has(fd), "descriptor is closed");
        const { ring, kick, call, err, enabled } = effect;
        if (!failed) this.running.set(effect.index, { ring, kick, call, err, enabled });
        break;
      }
      case "stopQueue": {
        const running = this.#ring(effect);
        if (failed) break;
        this.running.delete(effect.index);
        return { nextAvail: advance(running.ring, this.progress) };
      }
      case "setEnabled":
        this.#ring(effect).enabled = failed ? this.#ring(effect).enabled : effect.enabled;
        break;
      case "setCall":
        must(effect.call === null || this.open.has(effect.call), "call descriptor is closed");
        if (failed) this.#ring(effect);
        else this.#ring(effect).call = effect.call;
        break;
      case "setKick":
        must(effect.kick === null || this.open.has(effect.kick), "kick descriptor is closed");
        if (failed) this.#ring(effect);
        else this.#ring(effect).kick = effect.kick;
        break;
      case "setLog":
        if (effect.log !== null) this.#closeFd(effect.log.fd);
        if (!failed) this.log = effect.log === null ? null : { size: effect.log.size, offset: effect.log.offset };
        break;
      case "setLogging":
        must(this.features !== null, "setLogging before there are features");
        if (!failed) this.features = (this.features! & ~LOG_ALL) | (effect.enabled ? LOG_ALL : 0n);
        break;
      case "setLogFd":
        must(effect.fd === null || this.open.has(effect.fd), "the log's eventfd is closed");
        if (!failed) this.logFd = effect.fd;
        break;
      case "transferState":
        must(this.running.size === 0, "transferState while a ring runs");
        this.#closeFd(effect.fd);
        this.transferring = !failed;
        break;
      case "finishTransfer":
      case "abortTransfer":
        must(this.transferring, `${effect.kind} without a transfer`);
        this.transferring = false;
        break;
      case "setErr":
        must(effect.err === null || this.open.has(effect.err), "err descriptor is closed");
        if (failed) this.#ring(effect);
        else this.#ring(effect).err = effect.err;
        break;
      case "sendRarp":
        must(effect.mac > 0n && effect.mac < 1n << 48n && (effect.mac & 1n) === 0n, "sendRarp from no interface");
        break;
      case "createInflight":
        return failed ? { error } : { fd: this.fd() };
      case "setInflight":
        must(this.running.size === 0, "setInflight while a ring runs");
        if (effect.file !== null) this.#closeFd(effect.file.fd);
        if (!failed) this.inflight = effect.file;
        break;
      case "clearInflight":
        must(this.inflight !== null, "clearInflight without an area");
        for (const index of effect.indices) must(!this.running.has(index), "clearInflight under a running ring");
        if (!failed) this.cleared.push(...effect.indices);
        break;
      case "setTranslations": {
        if (failed) break;
        must(this.translations !== null, "translations of addresses that need none");
        let end = 0n;
        for (const { iova, size, userAddress: at } of effect.entries) {
          must(iova >= end && size > 0n, "translations in order and apart");
          must(
            this.regions.some((r) => at >= r.userAddress && at + size <= r.userAddress + r.size),
            "a translation outside guest memory",
          );
          end = iova + size;
        }
        this.translations = effect.entries;
        break;
      }
      case "askTranslation":
        must(this.translations !== null && this.backendSocket !== null, "askTranslation of nobody");
        this.asked.push([effect.iova, effect.permission]);
        break;
      case "setBackendSocket":
        must(effect.fd === null || this.open.has(effect.fd), "the socket is closed");
        if (!failed) this.backendSocket = effect.fd;
        break;
      case "openUserfault":
        if (failed) return { error };
        must(!this.userfault, "a second userfaultfd");
        this.userfault = true;
        return { fd: this.fd() };
      case "endPostcopy":
        must(this.userfault, "endPostcopy without a beginning");
        if (failed) break;
        this.userfault = false;
        this.late.clear();
        break;
      case "abandonPostcopy":
        must(this.userfault, "abandonPostcopy without a beginning");
        this.userfault = false;
        this.late.clear();
        break;
      case "close":
        for (const fd of effect.fds) this.#closeFd(fd);
        break;
      case "log":
        must(effect.text.length > 0, "an empty log text");
        break;
    }
    return failed ? { error } : {};
  }

  #ring(effect: Effect & { index: number }): RunningRing {
    const running = this.running.get(effect.index);
    must(running !== undefined, `${effect.kind} of queue ${effect.index} which does not run`);
    return running!;
  }

  #closeFd(fd: Fd): void {
    must(this.open.delete(fd), `descriptor ${fd} closed twice`);
    must(fd !== this.backendSocket, "closed while requests are sent through it");
    for (const { kick, call, err } of this.running.values()) {
      must(![kick, call, err].includes(fd), "closed under a running ring");
    }
  }
}

/** For each part of a ring: whether one of the regions holds it whole. Written apart from the code under test. */
function insideOne(ring: RingSetup, regions: readonly MemoryRegion[]): boolean[] {
  const n = BigInt(ring.size);
  const parts: [bigint, bigint][] = [
    [ring.desc, 16n * n],
    [ring.avail, ring.packed ? 4n : 6n + 2n * n],
    [ring.used, ring.packed ? 4n : 6n + 8n * n],
  ];
  return parts.map(([at, length]) =>
    regions.some((r) => r.guestAddress <= at && at + length <= r.guestAddress + r.size),
  );
}

/** Where a ring stands `count` entries further on: a packed one turns its wrap counter at the end. */
function advance({ nextAvail, packed, size }: RingSetup, count: number): number {
  if (!packed) return (nextAvail + count) & 0xffff;
  const position = (nextAvail & 0x7fff) + count;
  const rounds = Math.floor(position / size);
  return (position % size) | (rounds % 2 === 0 ? nextAvail & 0x8000 : (nextAvail & 0x8000) ^ 0x8000);
}

function checkReply(bytes: Uint8Array, request: number): Uint8Array {
  const framed = new Framer("replies").push(bytes);
  must(framed.fault === undefined && framed.messages.length === 1, "the reply is not one message");
  must(framed.messages[0]!.request === request, "the reply answers another request");
  return framed.messages[0]!.payload;
}

function requestNumber(request: FrontEndRequest): number {
  return new DataView(encodeRequest(request).buffer).getUint32(0, true);
}

function must(condition: boolean, text: string): void {
  if (!condition) throw new Error(`broken rule: ${text}`);
}

function equal(a: readonly unknown[], b: readonly unknown[], text: string): void {
  must(a.length === b.length && a.every((value, i) => value === b[i]), `${text}: [${a}] and [${b}]`);
}

/** The session may not change a state in place: a frozen one throws when it tries. */
function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

function key(region: MemoryRegion): string {
  return `${region.guestAddress}+${region.size}@${region.userAddress}:${region.mmapOffset}`;
}

function entry({ iova, size, userAddress, permission }: Translation): string {
  return `${iova}+${size}@${userAddress}:${permission}`;
}

function same(region: MemoryRegion): (other: MemoryRegion) => boolean {
  return (other) => key(other) === key(region);
}
