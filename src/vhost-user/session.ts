// The back-end's half of a vhost-user connection as a pure state machine. It never touches a ring, memory or a
// descriptor: a message becomes effects for the switch, and how those went becomes the next state and the reply.
//
//   let turn = step(state, message);
//   while (!turn.done) turn = settle(turn, await run(turn.effects));
//   state = turn.state;   // send turn.reply if it is not null; close the connection if turn.fault is set
//
// A turn can take several rounds, because what comes next may depend on how the last round went: a ring starts again
// where it stopped. One message is finished before the next begins, and before closeSession.

import type { Effect, EffectOutcome, Fd } from "./effects.js";
import { hasBit } from "../core/feature-bits.js";
import { type DeviceConfig, offerFor, PROTOCOL_F_REPLY_ACK } from "./features.js";
import { HANDLERS } from "./handlers.js";
import {
  encodeReply,
  FLAG_NEED_REPLY,
  type MessageSpec,
  messageByNumber,
  requestLabel,
  type WireMessage,
} from "./message.js";
import { type BadPayload, decodePayload, type Payload } from "./payload.js";
import type { Plan, Refusal } from "./plan.js";
import { EMPTY_IOTLB, usesIotlb } from "./iotlb.js";
import { baseOf } from "./ring-base.js";
import {
  isPacked,
  LOG_TEXTS_MAX,
  ownedFds,
  QUEUE_PAIRS_MAX,
  readiness,
  ringAt,
  ringsWhere,
  type SessionState,
  withRing,
} from "./state.js";

export interface SessionOptions extends DeviceConfig {
  /** Virtio features to offer, when not those of offerFor; the same must be offered after a reconnect. */
  features?: bigint;
  protocolFeatures?: bigint;
  /** Queue pairs that GET_QUEUE_NUM answers, at most QUEUE_PAIRS_MAX (the default). */
  queuePairs?: number;
}

/** The message is being carried out: run the effects in order, then settle. Several rounds may follow one another. */
export interface Pending {
  done: false;
  effects: readonly Effect[];
  /** Called by settle. Pure: the same outcomes give the same turn. */
  resume: (outcomes: readonly EffectOutcome[]) => Turn;
}

/** The message has been carried out. */
export interface Done {
  done: true;
  state: SessionState;
  /** Bytes to send to the front-end. */
  reply: Uint8Array | null;
  /** Descriptors to send with the reply's first byte, and to close then. */
  replyFds: readonly Fd[];
  /** Why the connection must be closed (send no reply): a sentence for the operator. */
  fault?: string;
}

export type Turn = Pending | Done;

/** A new front-end has connected. */
export function createSession(options: SessionOptions = {}): SessionState {
  const offer = offerFor(options);
  return {
    offeredFeatures: options.features ?? offer.features,
    offeredProtocolFeatures: options.protocolFeatures ?? offer.protocolFeatures,
    queuePairs: options.queuePairs ?? QUEUE_PAIRS_MAX,
    features: null,
    featuresRefused: false,
    protocolFeatures: 0n,
    status: 0,
    regions: [],
    repeatedRegions: [],
    rings: {},
    enabledByDefault: false,
    log: "none",
    logFd: null,
    transfer: "none",
    postcopy: "none",
    postcopyWithheld: false,
    inflight: false,
    iotlb: EMPTY_IOTLB,
    backendSocket: null,
    mac: options.mac ?? null,
    mtu: options.mtu ?? null,
    logged: [],
  };
}

/**
 * Begin to carry out one whole message. Its descriptors belong to the session from here on: each is kept in the state,
 * handed over in an effect, or closed by an effect of this turn.
 */
export function step(state: SessionState, message: WireMessage): Turn {
  const context: Context = {
    before: state,
    message,
    label: requestLabel(message.request),
    gone: [],
    made: [],
    addresses: [],
  };
  const spec = messageByNumber(message.request);
  if (spec === undefined || spec.payload === "opaque" || !spec.supported) {
    const because = spec?.because === undefined ? "" : `: ${spec.because}`;
    return finish(state, context, { error: `${context.label} is not supported${because}` });
  }
  const payload = decodePayload(spec.payload, message.payload);
  if (payload.kind === "bad" && payload.closes) {
    return finish(state, context, { fault: `${context.label} is malformed: ${payload.reason}` });
  }
  const plan = planFor(state, spec, payload, message.fds);
  if ("refused" in plan) {
    const featuresRefused = spec.name === "SET_FEATURES" || state.featuresRefused;
    const next = { ...(plan.commit?.(state) ?? state), featuresRefused };
    return finish(next, context, { error: `${context.label} refused: ${plan.refused}`, reply: plan.reply });
  }
  return stopRings(state, context, plan);
}

/**
 * Go on with a message after its effects have been run. `outcomes` holds one outcome for each effect, in order.
 * The switch must give nextAvail with every stopQueue that went well.
 */
export function settle(turn: Pending, outcomes: readonly EffectOutcome[]): Turn {
  if (outcomes.length !== turn.effects.length) {
    throw new Error(`${turn.effects.length} effects were asked for, ${outcomes.length} outcomes came`);
  }
  return turn.resume(outcomes);
}

/** The connection has ended: what the switch must do, in order, to be rid of it. */
export function closeSession(state: SessionState): Effect[] {
  // First: a ring stops when nobody waits in it.
  const effects: Effect[] = state.postcopy === "none" ? [] : [{ kind: "abandonPostcopy" }];
  for (const index of ringsWhere(state, (ring) => ring.running)) effects.push({ kind: "stopQueue", index });
  if (state.transfer === "running") effects.push({ kind: "abortTransfer" });
  if (state.backendSocket !== null) effects.push({ kind: "setBackendSocket", fd: null, needReply: false });
  if (usesIotlb(state)) effects.push({ kind: "setTranslations", entries: [] });
  if (state.inflight) effects.push({ kind: "setInflight", file: null });
  if (state.logFd !== null) effects.push({ kind: "setLogFd", fd: null });
  if (state.log !== "none") effects.push({ kind: "setLog", log: null });
  if (state.regions.length > 0) effects.push({ kind: "setMemory", regions: [], fds: [] });
  const fds = ownedFds(state);
  if (fds.length > 0) effects.push({ kind: "close", fds });
  return effects;
}

/** What stays the same during a turn, but for `gone`. */
interface Context {
  readonly before: SessionState;
  readonly message: WireMessage;
  readonly label: string;
  /** Descriptors that an effect has handed over. */
  readonly gone: readonly Fd[];
  /** Descriptors that an effect has made for the reply. */
  readonly made: readonly Fd[];
  /** Where an effect has mapped regions. */
  readonly addresses: readonly bigint[];
}

interface Result {
  /** A sentence: the request was not, or not wholly, carried out. */
  error?: string | undefined;
  warnings?: readonly string[];
  fault?: string;
  reply?: Plan["reply"];
}

function planFor(state: SessionState, spec: MessageSpec, payload: Payload | BadPayload, fds: Fd[]): Plan | Refusal {
  if (payload.kind === "bad") return { refused: payload.reason };
  const problem = fdsProblem(spec, payload, fds.length);
  if (problem !== undefined) return { refused: problem };
  // The table says which payload the message has, and the handlers' types are made from the table.
  const handler = HANDLERS[spec.name] as (s: SessionState, p: Payload, fds: readonly Fd[]) => Plan | Refusal;
  return handler(state, payload, fds);
}

/** Too few descriptors, or descriptors that contradict the payload. Surplus ones are closed and do no harm (M2). */
function fdsProblem(spec: MessageSpec, payload: Payload, count: number): string | undefined {
  if (payload.kind === "memRegion" && payload.region === null) return undefined;
  if (spec.fds === "one" && count === 0) return "no descriptor came with it";
  if (payload.kind === "memTable" && payload.regions.length !== count) {
    return `${count} descriptors came for ${payload.regions.length} memory regions`;
  }
  if (payload.kind === "vringFd") {
    if (payload.reserved !== 0n) return `bits 0x${payload.reserved.toString(16)} of its payload have no meaning`;
    if (payload.noFd && count > 0)
      return `queue ${payload.index}: a descriptor came although bit 8 says that none does`;
    if (!payload.noFd && count === 0) return `queue ${payload.index}: no descriptor came and bit 8 does not say so`;
  }
  return undefined;
}

/** Stage 1. A ring that does not stop may still be in guest memory: then nothing may change, and the session ends. */
function stopRings(state: SessionState, context: Context, plan: Plan): Turn {
  const stop = plan.stop ?? [];
  const { untranslated } = plan;
  const effects = stop.map(
    (index): Effect => ({ kind: "stopQueue", index, ...(untranslated ? { untranslated } : {}) }),
  );
  return round(effects, (outcomes) => {
    let next = state;
    let fault: string | undefined;
    outcomes.forEach((outcome, i) => {
      const index = stop[i]!;
      if (outcome.error !== undefined) fault = `${context.label}: queue ${index} did not stop: ${outcome.error}`;
      else next = withRing(next, index, { running: false, wasReset: false, base: whereStopped(state, outcome, index) });
    });
    return fault === undefined ? change(next, context, plan) : finish(next, context, { fault });
  });
}

function whereStopped(state: SessionState, outcome: EffectOutcome, index: number): number {
  if (outcome.nextAvail === undefined) throw new Error(`stopQueue ${index} did not tell where it stopped`);
  return baseOf(outcome.nextAvail, isPacked(state));
}

/** Stages 2 and 3. */
function change(state: SessionState, context: Context, plan: Plan): Turn {
  const effects = plan.effects ?? [];
  return round(effects, (outcomes) => {
    const error = outcomes.find((outcome) => outcome.error !== undefined)?.error;
    const take = error === undefined ? plan.commit : plan.failed;
    const gone = effects.flatMap(handedOver);
    const made = outcomes.flatMap(({ fd }) => (fd === undefined ? [] : [fd]));
    const addresses = outcomes.flatMap((outcome) => outcome.addresses ?? []);
    return startRings(take?.(state) ?? state, { ...context, gone, made, addresses }, plan, error);
  });
}

/** Descriptors that are no longer the session's once the effect has been run, well or not. */
function handedOver(effect: Effect): Fd[] {
  if (effect.kind === "setMemory") return effect.fds;
  if (effect.kind === "addRegion" || effect.kind === "transferState") return [effect.fd];
  if (effect.kind === "setLog") return effect.log === null ? [] : [effect.log.fd];
  if (effect.kind === "setInflight") return effect.file === null ? [] : [effect.file.fd];
  return [];
}

const NOBODY = "there is nobody to ask, for SET_BACKEND_REQ_FD has not come";

/** Stage 4. */
function startRings(state: SessionState, context: Context, plan: Plan, failure: string | undefined): Turn {
  const { label } = context;
  const indices: number[] = [];
  const effects: Effect[] = [];
  const warnings: string[] = [];
  const asked: Effect[] = [];
  let error = failure === undefined ? undefined : `${label} failed: ${failure}`;
  for (const index of plan.start ?? []) {
    const ready = readiness(state, index);
    const { kick, call, err, enabled } = ringAt(state, index);
    if (ready.kind === "ready") {
      indices.push(index);
      effects.push({ kind: "startQueue", index, ring: ready.ring, kick, call, err, enabled });
    } else if (ready.kind === "missing") {
      if (state.backendSocket === null) warnings.push(`${label}: queue ${index} waits: ${ready.reason}: ${NOBODY}`);
      else asked.push(...ready.addresses.map((address): Effect => ({ kind: "askTranslation", ...address })));
    } else if (ready.kind === "bad" && plan.strict) {
      error ??= `${label} failed: queue ${index} can not start: ${ready.reason}`;
    } else if (ready.kind === "bad" || plan.stop?.includes(index)) {
      warnings.push(`${label}: queue ${index} stays stopped: ${ready.reason}`);
    }
  }
  return round([...effects, ...asked], (outcomes) => {
    let next = state;
    indices.forEach((index, i) => {
      const outcome = outcomes[i]!;
      if (outcome.error === undefined) next = withRing(next, index, { running: true });
      else error ??= `${label} failed: queue ${index} did not start: ${outcome.error}`;
    });
    return finish(next, context, { error, warnings, reply: plan.reply });
  });
}

/** The end of every turn: close the descriptors that have no owner any more, tell the operator, make the reply. */
function finish(state: SessionState, context: Context, result: Result): Turn {
  const kept = new Set([...ownedFds(state), ...context.gone]);
  const orphans = [...ownedFds(context.before), ...context.message.fds].filter((fd) => !kept.has(fd));
  const texts = [...(result.warnings ?? []), ...(result.error === undefined ? [] : [result.error])];
  const { logged, effects } = logOnce(state.logged, texts);
  if (orphans.length > 0) effects.push({ kind: "close", fds: orphans });
  const next = { ...state, logged };
  return round(effects, () => {
    if (result.fault !== undefined) {
      return { done: true, state: next, reply: null, replyFds: [], fault: result.fault };
    }
    return { done: true, state: next, reply: replyTo(context, next, result), replyFds: context.made };
  });
}

/** A request with a reply of its own gets that and never an acknowledgement too. */
function replyTo({ message, made, addresses }: Context, state: SessionState, result: Result): Uint8Array | null {
  if (result.reply !== undefined) return encodeReply(message.request, result.reply(state, made, addresses));
  const wanted = (message.flags & FLAG_NEED_REPLY) !== 0 && hasBit(state.protocolFeatures, PROTOCOL_F_REPLY_ACK);
  if (!wanted) return null;
  return encodeReply(message.request, { kind: "u64", value: result.error === undefined ? 0n : 1n });
}

/** Each text once a session, and only so many: whoever repeats a mistake 10 000 times a second is heard once. */
function logOnce(
  logged: readonly string[],
  texts: readonly string[],
): { logged: readonly string[]; effects: Effect[] } {
  const effects: Effect[] = [];
  const seen = [...logged];
  for (const text of texts) {
    if (seen.includes(text) || seen.length >= LOG_TEXTS_MAX) continue;
    seen.push(text);
    const last = seen.length === LOG_TEXTS_MAX ? "; no more of this front-end's mistakes are logged" : "";
    effects.push({ kind: "log", level: "warn", text: text + last });
  }
  return { logged: seen, effects };
}

/** One round of effects; without effects there is no round. */
function round(effects: readonly Effect[], resume: Pending["resume"]): Turn {
  return effects.length === 0 ? resume([]) : { done: false, effects, resume };
}
