// Features, device status and reset.

import {
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_RING_PACKED,
} from "../../../assembly/spec/virtio.js";
import { bits, hasBit } from "../../core/feature-bits.js";
import { featureNames, PROTOCOL_F_PAGEFAULT, protocolFeatureNames } from "../features.js";
import { EMPTY_IOTLB, usesIotlb } from "../iotlb.js";
import { answer, type Handlers, type Plan, refuse } from "../plan.js";
import { featuresEffect } from "./iotlb.js";
import { loggingProblem } from "./migration.js";
import { withoutPostcopy } from "./postcopy.js";
import {
  clearedInflight,
  isPacked,
  type Ring,
  ringAt,
  ringsWhere,
  type SessionState,
  withEveryRing,
} from "../state.js";

const LOG_ALL = bits(VHOST_F_LOG_ALL);
const STATUS_FEATURES_OK = 8;
const STATUS_MAX = 0xff;

export const NEGOTIATION_HANDLERS: Handlers = {
  GET_FEATURES: (state) => answer(state.offeredFeatures),
  GET_PROTOCOL_FEATURES: (state) => {
    const { offeredProtocolFeatures: offered, protocolFeatures } = state;
    return hasBit(protocolFeatures, PROTOCOL_F_PAGEFAULT) ? withoutPostcopy(state) : answer(offered);
  },
  GET_QUEUE_NUM: (state) => answer(BigInt(state.queuePairs)),
  GET_STATUS: (state) => answer(BigInt(state.status)),
  // There is nothing to do at the start of a session, nor when an old front-end says RESET_OWNER, which the
  // specification recommends to ignore.
  SET_OWNER: () => ({}),
  RESET_OWNER: () => ({}),

  SET_FEATURES: (state, { value }) => {
    const unknown = value & ~state.offeredFeatures;
    if (unknown !== 0n) return refuse(`not offered: ${featureNames(unknown).join(", ")}`);
    const running = ringsWhere(state, (ring) => ring.running);
    const otherLayout = hasBit(value ^ (state.features ?? 0n), VIRTIO_F_RING_PACKED);
    if (otherLayout && running.length > 0) {
      return refuse(
        `queue ${running[0]} runs: its ring can not become ${isPacked(state) ? "a split" : "a packed"} one`,
      );
    }
    const logAll = hasBit(value, VHOST_F_LOG_ALL);
    const problem = logAll ? loggingProblem(state) : undefined;
    if (problem !== undefined) return refuse(problem);
    const enableAll = !hasBit(value, VHOST_USER_F_PROTOCOL_FEATURES);
    const commit = (s: SessionState): SessionState => {
      const iotlb = hasBit((s.features ?? 0n) ^ value, VIRTIO_F_ACCESS_PLATFORM) ? EMPTY_IOTLB : s.iotlb;
      const next = { ...s, features: value, featuresRefused: false, enabledByDefault: enableAll, iotlb };
      return enableAll ? withEveryRing(next, { enabled: true }) : next;
    };
    const enables = enableAll && running.some((i) => !ringAt(state, i).enabled);
    if (state.features === value && !enables) return { commit };
    const failed = (s: SessionState): SessionState => ({ ...s, featuresRefused: true });
    // A migration begins or ends: that concerns no ring.
    if (state.features !== null && (state.features ^ value) === LOG_ALL && !enables) {
      return { effects: [{ kind: "setLogging", enabled: logAll }], commit, failed };
    }
    const effects = [featuresEffect({ ...state, features: value })];
    return { stop: running, effects, commit, failed, start: running };
  },

  SET_PROTOCOL_FEATURES: (state, { value }) => {
    const unknown = value & ~state.offeredProtocolFeatures;
    if (unknown !== 0n) return refuse(`not offered: ${protocolFeatureNames(unknown).join(", ")}`);
    const after = { ...state, protocolFeatures: value };
    if (usesIotlb(state) === usesIotlb(after)) return { commit: (s) => ({ ...s, protocolFeatures: value }) };
    // Whether ACCESS_PLATFORM means anything depends on BACKEND_REQ.
    const effects = [featuresEffect(after)];
    const running = ringsWhere(state, (ring) => ring.running);
    const commit = (s: SessionState) => ({ ...s, protocolFeatures: value, iotlb: EMPTY_IOTLB });
    return { stop: running, effects, commit, start: running };
  },

  SET_STATUS: (state, { value }) => {
    if (value > BigInt(STATUS_MAX)) return refuse(`0x${value.toString(16)} is no virtio device status`);
    // QEMU 7.2 says this before it asks where the rings stand, when it stops a guest to move it or for a while.
    if (value === 0n) return reset(state, { wasReset: true });
    // The front-end reads FEATURES_OK back to learn whether its SET_FEATURES was accepted.
    const status = Number(value) & (state.featuresRefused ? ~STATUS_FEATURES_OK : STATUS_MAX);
    return { commit: (s) => ({ ...s, status }) };
  },
  RESET_DEVICE: (state) => reset(state, { enabled: false, base: 0, wasReset: false }),
};

/** SET_STATUS 0 and RESET_DEVICE: rings as after a device reset, no features; memory and protocol features stay. */
function reset(state: SessionState, change: Partial<Ring>): Plan {
  const unset: Partial<Ring> = { started: false, addresses: null, kick: null, ...change };
  return {
    stop: ringsWhere(state, (ring) => ring.running),
    effects: [
      ...(state.features === null ? [] : [{ kind: "setFeatures" as const, features: 0n }]),
      ...clearedInflight(state, Object.keys(state.rings).map(Number)),
    ],
    commit: (s) => ({
      ...withEveryRing(s, unset),
      ...{ features: null, featuresRefused: false, status: 0, iotlb: EMPTY_IOTLB },
    }),
  };
}
