// Memory behind a virtual IOMMU: the front-end's translations, and the socket by which it is asked for them.

import { hasBit } from "../../core/feature-bits.js";
import { ringParts } from "../../core/ring-parts.js";
import type { Effect, Translation } from "../effects.js";
import { PROTOCOL_F_BACKEND_REQ, PROTOCOL_F_REPLY_ACK } from "../features.js";
import {
  EMPTY_IOTLB,
  type Iotlb,
  IOTLB_INVALIDATE,
  IOTLB_UPDATE,
  translationProblem,
  usesIotlb,
  withoutRange,
  withTranslation,
} from "../iotlb.js";
import { type Handlers, type Plan, type Refusal, refuse } from "../plan.js";
import { isPacked, readiness, ringsWhere, type SessionState } from "../state.js";

const ADDRESS_SPACE = 1n << 64n;

export const IOTLB_HANDLERS: Handlers = {
  SET_BACKEND_REQ_FD: (state, _, fds) => {
    if (!hasBit(state.protocolFeatures, PROTOCOL_F_BACKEND_REQ)) return refuse("BACKEND_REQ was not negotiated");
    const fd = fds[0]!;
    const needReply = hasBit(state.protocolFeatures, PROTOCOL_F_REPLY_ACK);
    return {
      effects: [{ kind: "setBackendSocket", fd, needReply }],
      commit: (s) => ({ ...s, backendSocket: fd }),
      // Who waited for somebody to ask.
      start: usesIotlb(state) ? waiting(state) : [],
    };
  },

  IOTLB_MSG: (state, { type, ...entry }) => {
    const { iova, size } = entry;
    if (type === IOTLB_INVALIDATE) {
      // An end past the address space, or none, is everything from there on: too much forgotten is only asked for again.
      const everything = size === 0n;
      const range = everything ? ([0n, ADDRESS_SPACE] as const) : ([iova, size] as const);
      return changed(state, withoutRange(state.iotlb, ...range, ringPages(state)));
    }
    if (type !== IOTLB_UPDATE) return no(`${type} is no message that a front-end sends`);
    if (!usesIotlb(state)) return no("ACCESS_PLATFORM was not negotiated");
    const { kind: _, ...translation } = entry;
    const problem = translationProblem(translation, state.regions);
    if (problem !== undefined) return no(problem);
    return changed(state, withTranslation(state.iotlb, translation, state.regions, ringPages(state)));
  },
};

/** The effect by which the switch learns of a state's features, which are not null. */
export function featuresEffect(state: SessionState): Effect {
  const features = state.features!;
  return { kind: "setFeatures", features, ...(usesIotlb(state) ? { translated: true } : {}) };
}

/** The effects by which the switch forgets all translations; the state forgets them with `iotlb: EMPTY_IOTLB`. */
export function forgetTranslations(state: SessionState): Effect[] {
  return usesIotlb(state) ? [{ kind: "setTranslations", entries: EMPTY_IOTLB.entries }] : [];
}

/** Rings whose place the change touches stop and start again where they then are; those that waited may have it now. */
function changed(state: SessionState, iotlb: Iotlb): Plan {
  if (iotlb === state.iotlb) return { reply: () => ({ kind: "u64", value: 0n }) };
  const after = { ...state, iotlb };
  const stop = ringsWhere(state, (ring) => ring.running).filter(
    (index) => placeOf(state, index) !== placeOf(after, index),
  );
  return {
    stop,
    untranslated: true,
    effects: [{ kind: "setTranslations", entries: iotlb.entries }],
    commit: (s) => ({ ...s, iotlb }),
    start: [...stop, ...waiting(state)],
    reply: (s) => ({ kind: "u64", value: s.iotlb === iotlb ? 0n : 1n }),
  };
}

function waiting(state: SessionState): number[] {
  return ringsWhere(state, (ring) => ring.started && !ring.running);
}

function placeOf(state: SessionState, index: number): string {
  const ready = readiness(state, index);
  return ready.kind === "ready" ? [ready.ring.desc, ready.ring.avail, ready.ring.used].join() : ready.kind;
}

/** Rings are looked at all the time, however long ago they were asked for: their pages are the last to be forgotten. */
function ringPages(state: SessionState): (entry: Translation) => boolean {
  let parts: { at: bigint; end: bigint }[] | undefined;
  return ({ iova, size }) => {
    parts ??= Object.values(state.rings).flatMap(({ addresses, size: entries }) =>
      ringParts(entries, isPacked(state)).flatMap(({ key, bytes }) =>
        addresses === null ? [] : [{ at: addresses[key], end: addresses[key] + BigInt(bytes) }],
      ),
    );
    return parts.some(({ at, end }) => iova < end && at < iova + size);
  };
}

/** The front-end waits for the reply, so a refusal has one too. */
function no(reason: string): Refusal {
  return { ...refuse(reason), reply: () => ({ kind: "u64", value: 1n }) };
}
