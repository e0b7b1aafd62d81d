// One virtqueue: its size, place and index, its descriptors, and whether it is enabled.

import { type Handlers, type Plan, type Refusal, refuse } from "../plan.js";
import { EMPTY_IOTLB, usesIotlb } from "../iotlb.js";
import { type RingAddresses, resolveRing } from "../regions.js";
import { baseProblem, sizeProblem } from "../ring-base.js";
import { forgetTranslations } from "./iotlb.js";
import { clearedInflight, isPacked, type Ring, ringAt, ringsWhere, VRINGS_MAX, withRing } from "../state.js";

export const RING_HANDLERS: Handlers = {
  SET_VRING_NUM: (state, { index, num }) => {
    if (index >= VRINGS_MAX) return noSuchRing(index);
    if (ringAt(state, index).running) return whileRunning(index);
    // The features may come later: then a size that only a packed ring can have is looked at when the ring starts.
    const problem = sizeProblem(num, state.features === null || isPacked(state));
    if (problem !== undefined) return refuse(problem);
    return changeRing(index, { size: num });
  },
  SET_VRING_BASE: (state, { index, num }) => {
    if (index >= VRINGS_MAX) return noSuchRing(index);
    if (ringAt(state, index).running) return whileRunning(index);
    const problem = state.features === null ? undefined : baseProblem(num, ringAt(state, index).size, isPacked(state));
    if (problem !== undefined) return refuse(problem);
    return changeRing(index, { base: num, wasReset: false });
  },
  SET_VRING_ADDR: (state, { index, desc, avail, used }) => {
    if (index >= VRINGS_MAX) return noSuchRing(index);
    const ring = ringAt(state, index);
    const addresses = { desc, avail, used };
    // Before there are memory and features nothing can be checked: the ring is resolved when it is to start.
    if (state.regions.length > 0 && ring.size > 0 && state.features !== null && !usesIotlb(state)) {
      const resolved = resolveRing(addresses, ring.size, isPacked(state), state.regions);
      if (!resolved.ok) return refuse(`queue ${index}: ${resolved.reason}`);
    }
    // At the beginning and the end of a migration they come again, to toggle VHOST_VRING_F_LOG. Used rings are logged
    // with everything else, where they are, so that flag says nothing new.
    if (ring.running && sameAddresses(ring.addresses, addresses)) return {};
    const plan = changeRing(index, { addresses });
    return ring.running ? { ...plan, stop: [index] } : plan;
  },
  GET_VRING_BASE: (state, { index }) => {
    // The front-end waits for this reply, so a ring that can not exist is answered as one that never started.
    if (index >= VRINGS_MAX) return { reply: () => ({ kind: "vringState", index, num: 0 }) };
    // Of the next guest behind these rings nothing is known; nobody tells us what the last one has unmapped meanwhile.
    const last = !ringsWhere(state, (ring) => ring.started).some((other) => other !== index);
    return {
      stop: ringAt(state, index).running ? [index] : [],
      effects: [...clearedInflight(state, [index]), ...(last ? forgetTranslations(state) : [])],
      // The addresses are forgotten, for a later start must not use those of a guest that is gone (M28). The call
      // descriptor stays: a stopped ring makes no calls, and not every front-end sends it again.
      commit: (s) => {
        const next = last ? { ...s, iotlb: EMPTY_IOTLB } : s;
        return s.rings[index] === undefined
          ? next
          : withRing(next, index, { started: false, addresses: null, kick: null });
      },
      reply: (s) => ({ kind: "vringState", index, num: ringAt(s, index).base }),
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
  SET_VRING_ERR: (state, { index }, fds) => {
    const err = fds[0] ?? null;
    return {
      effects: ringAt(state, index).running ? [{ kind: "setErr", index, err }] : [],
      commit: (s) => withRing(s, index, { err }),
    };
  },
};

function sameAddresses(a: RingAddresses | null, b: RingAddresses): boolean {
  return a !== null && a.desc === b.desc && a.avail === b.avail && a.used === b.used;
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
