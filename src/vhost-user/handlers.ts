// What each front-end request means. A handler looks at the state and answers with a plan, or with the reason why the
// request is refused; a refused request changes nothing. Carrying a plan out is session.ts's business.

import { VHOST_USER_F_PROTOCOL_FEATURES, VIRTQ_SIZE_MAX } from "../../assembly/spec/virtio.js";
import type { Effect, Fd } from "./effects.js";
import { hasBit } from "../core/feature-bits.js";
import { featureNames, protocolFeatureNames } from "./features.js";
import type { MessageName, MessagePayload, Payload } from "./message.js";
import { regionProblem, resolveRing, ringTouches, sameRegion, tableProblem } from "./regions.js";
import {
  MEM_SLOTS_MAX,
  type Ring,
  readiness,
  ringAt,
  ringsWhere,
  type SessionState,
  VRINGS_MAX,
  withEveryRing,
  withRing,
} from "./state.js";

/**
 * A request carried out in four stages, each after the one before: stop rings, make the change, take it into the
 * state, start rings. Descriptors need no mention: those that neither the new state nor an effect holds are closed.
 */
export interface Plan {
  /** Running rings that must stand while the change is made. Where they stopped is in the state that commit sees. */
  stop?: readonly number[];
  effects?: Effect[];
  /** The change in the state, when all effects went well. */
  commit?: (state: SessionState) => SessionState;
  /** The change in the state when one did not; without it the state stays as it was. */
  failed?: (state: SessionState) => SessionState;
  /** Rings to start now if they have all they need. */
  start?: readonly number[];
  /** The request is about these rings alone: one that does not fit into guest memory is the request's failure. */
  strict?: boolean;
  /** The request's own reply. */
  reply?: (state: SessionState) => Payload;
}

/** Why a request is refused: the end of a sentence for the operator. */
export interface Refusal {
  refused: string;
}

/** A handler is given the descriptors the message may have; their number has been checked. */
export type Handlers = {
  [N in MessageName]?: (state: SessionState, payload: MessagePayload<N>, fds: readonly Fd[]) => Plan | Refusal;
};

const STATUS_FEATURES_OK = 8;
const STATUS_MAX = 0xff;
/** A split ring's indices are u16. */
const AVAIL_INDEX_MAX = 0xffff;

export const HANDLERS: Handlers = {
  GET_FEATURES: (state) => answer(state.offeredFeatures),
  GET_PROTOCOL_FEATURES: (state) => answer(state.offeredProtocolFeatures),
  GET_QUEUE_NUM: (state) => answer(BigInt(state.queuePairs)),
  GET_MAX_MEM_SLOTS: () => answer(BigInt(MEM_SLOTS_MAX)),
  GET_STATUS: (state) => answer(BigInt(state.status)),
  // The CONFIG protocol feature is not offered; an empty payload is the specification's "no".
  GET_CONFIG: () => ({ reply: () => ({ kind: "none" }) }),
  // There is nothing to do at the start of a session, nor when an old front-end says RESET_OWNER, which the
  // specification recommends to ignore. There is no dirty log to signal through SET_LOG_FD.
  SET_OWNER: () => ({}),
  RESET_OWNER: () => ({}),
  SET_LOG_FD: () => ({}),

  SET_FEATURES: (state, { value }) => {
    const unknown = value & ~state.offeredFeatures;
    if (unknown !== 0n) return refuse(`not offered: ${featureNames(unknown).join(", ")}`);
    const enableAll = !hasBit(value, VHOST_USER_F_PROTOCOL_FEATURES);
    const commit = (s: SessionState): SessionState => {
      const next = { ...s, features: value, featuresRefused: false, enabledByDefault: enableAll };
      return enableAll ? withEveryRing(next, { enabled: true }) : next;
    };
    const running = ringsWhere(state, (ring) => ring.running);
    const enables = enableAll && running.some((i) => !ringAt(state, i).enabled);
    if (state.features === value && !enables) return { commit };
    const failed = (s: SessionState): SessionState => ({ ...s, featuresRefused: true });
    return { stop: running, effects: [{ kind: "setFeatures", features: value }], commit, failed, start: running };
  },

  SET_PROTOCOL_FEATURES: (state, { value }) => {
    const unknown = value & ~state.offeredProtocolFeatures;
    if (unknown !== 0n) return refuse(`not offered: ${protocolFeatureNames(unknown).join(", ")}`);
    return { commit: (s) => ({ ...s, protocolFeatures: value }) };
  },

  SET_STATUS: (state, { value }) => {
    if (value > BigInt(STATUS_MAX)) return refuse(`0x${value.toString(16)} is no virtio device status`);
    if (value === 0n) return reset(state, {});
    // The front-end reads FEATURES_OK back to learn whether its SET_FEATURES was accepted.
    const status = Number(value) & (state.featuresRefused ? ~STATUS_FEATURES_OK : STATUS_MAX);
    return { commit: (s) => ({ ...s, status }) };
  },
  RESET_DEVICE: (state) => reset(state, { enabled: false }),

  SET_MEM_TABLE: (state, { regions }, fds) => {
    const problem = tableProblem(regions);
    if (problem !== undefined) return refuse(problem);
    return {
      stop: ringsWhere(state, (ring) => ring.running),
      effects: [{ kind: "setMemory", regions, fds: [...fds] }],
      commit: (s) => ({ ...s, regions }),
      // The old memory is gone whatever became of the new one.
      failed: (s) => ({ ...s, regions: [] }),
      start: ringsWhere(state, (ring) => ring.started),
    };
  },
  ADD_MEM_REG: (state, { region }, fds) => {
    if (state.regions.length >= MEM_SLOTS_MAX) return refuse(`all ${MEM_SLOTS_MAX} memory slots are taken`);
    const problem = regionProblem(region, state.regions);
    if (problem !== undefined) return refuse(problem);
    return {
      effects: [{ kind: "addRegion", region, fd: fds[0]! }],
      commit: (s) => ({ ...s, regions: [...s.regions, region] }),
      start: ringsWhere(state, (ring) => ring.started && !ring.running),
    };
  },
  REM_MEM_REG: (state, { region }) => {
    const known = state.regions.find((r) => sameRegion(r, region));
    if (known === undefined) return refuse("there is no such memory region");
    const stop = ringsWhere(state, (ring) => ring.running).filter((index) => {
      const ring = readiness(state, index);
      return ring.kind !== "ready" || ringTouches(ring.ring, known);
    });
    return {
      stop,
      effects: [{ kind: "removeRegion", region: known }],
      commit: (s) => ({ ...s, regions: s.regions.filter((r) => r !== known) }),
      start: stop,
    };
  },

  SET_VRING_NUM: (state, { index, num }) => {
    if (index >= VRINGS_MAX) return noSuchRing(index);
    if (ringAt(state, index).running) return whileRunning(index);
    if (num < 1 || num > VIRTQ_SIZE_MAX || (num & (num - 1)) !== 0) {
      return refuse(`a split ring can not have ${num} entries, only a power of two up to ${VIRTQ_SIZE_MAX}`);
    }
    return changeRing(index, { size: num });
  },
  SET_VRING_BASE: (state, { index, num }) => {
    if (index >= VRINGS_MAX) return noSuchRing(index);
    if (ringAt(state, index).running) return whileRunning(index);
    if (num > AVAIL_INDEX_MAX) return refuse(`${num} is no index of a split ring, which has 16 bits`);
    return changeRing(index, { nextAvail: num });
  },
  SET_VRING_ADDR: (state, { index, desc, avail, used }) => {
    if (index >= VRINGS_MAX) return noSuchRing(index);
    const ring = ringAt(state, index);
    const addresses = { desc, avail, used };
    // Before there is memory nothing can be checked: the ring is resolved when it is to start.
    if (state.regions.length > 0 && ring.size > 0) {
      const resolved = resolveRing(addresses, ring.size, state.regions);
      if (!resolved.ok) return refuse(`queue ${index}: ${resolved.reason}`);
    }
    const plan = changeRing(index, { addresses });
    return ring.running ? { ...plan, stop: [index] } : plan;
  },
  GET_VRING_BASE: (state, { index }) => {
    // The front-end waits for this reply, so a ring that can not exist is answered as one that never started.
    if (index >= VRINGS_MAX) return { reply: () => ({ kind: "vringState", index, num: 0 }) };
    return {
      stop: ringAt(state, index).running ? [index] : [],
      // The addresses are forgotten, for a later start must not use those of a guest that is gone (M28). The call
      // descriptor stays: a stopped ring makes no calls, and not every front-end sends it again.
      commit: (s) =>
        s.rings[index] === undefined ? s : withRing(s, index, { started: false, addresses: null, kick: null }),
      reply: (s) => ({ kind: "vringState", index, num: ringAt(s, index).nextAvail }),
    };
  },
  SET_VRING_ENABLE: (state, { index, num }) => {
    if (index >= VRINGS_MAX) return noSuchRing(index);
    if (num > 1) return refuse(`${num} is neither 0 (disable) nor 1 (enable)`);
    const enabled = num === 1;
    return {
      effects: ringAt(state, index).running ? [{ kind: "setEnabled", index, enabled }] : [],
      commit: (s) => withRing(s, index, { enabled }),
    };
  },

  SET_VRING_KICK: (state, payload, fds) => {
    const { index } = payload;
    const kick = fds[0] ?? null;
    if (ringAt(state, index).running) {
      return { effects: [{ kind: "setKick", index, kick }], commit: (s) => withRing(s, index, { kick }) };
    }
    return changeRing(index, { kick, started: true });
  },
  SET_VRING_CALL: (state, { index }, fds) => {
    const call = fds[0] ?? null;
    return {
      effects: ringAt(state, index).running ? [{ kind: "setCall", index, call }] : [],
      commit: (s) => withRing(s, index, { call }),
    };
  },
  // A broken ring is told to the operator; nothing is ever signalled to the front-end, so the descriptor is not kept.
  SET_VRING_ERR: () => ({}),
};

function answer(value: bigint): Plan {
  return { reply: () => ({ kind: "u64", value }) };
}

function refuse(refused: string): Refusal {
  return { refused };
}

function noSuchRing(index: number): Refusal {
  return refuse(`there is no queue ${index}, at most ${VRINGS_MAX} queues exist`);
}

function whileRunning(index: number): Refusal {
  return refuse(`queue ${index} is running, GET_VRING_BASE must stop it first`);
}

/** Change a ring that is not running, and start it if that was all it waited for. */
function changeRing(index: number, change: Partial<Ring>): Plan {
  return { commit: (s) => withRing(s, index, change), start: [index], strict: true };
}

/** SET_STATUS 0 and RESET_DEVICE: rings as after a device reset, no features; memory and protocol features stay. */
function reset(state: SessionState, change: Partial<Ring>): Plan {
  const unset: Partial<Ring> = { started: false, addresses: null, kick: null, nextAvail: 0, ...change };
  return {
    stop: ringsWhere(state, (ring) => ring.running),
    effects: state.features === null ? [] : [{ kind: "setFeatures", features: 0n }],
    commit: (s) => ({ ...withEveryRing(s, unset), features: null, featuresRefused: false, status: 0 }),
  };
}
