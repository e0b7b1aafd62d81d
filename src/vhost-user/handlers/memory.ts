// The front-end's memory regions.

import { EMPTY_IOTLB, usesIotlb, withoutRegion } from "../iotlb.js";
import type { Effect, MemoryRegion, Pages } from "../effects.js";
import { answer, type Handlers, type Plan, type Refusal, refuse } from "../plan.js";
import { regionProblem, ringTouches, sameRegion, tableProblem } from "../regions.js";
import { MEM_SLOTS_MAX, readiness, ringsWhere, type SessionState } from "../state.js";
import { forgetTranslations } from "./iotlb.js";
import { confirmPages, pagesComeLate, regionOf, tableOf } from "./postcopy.js";

export const MEMORY_HANDLERS: Handlers = {
  GET_MAX_MEM_SLOTS: () => answer(BigInt(MEM_SLOTS_MAX)),
  SET_MEM_TABLE: (state, { regions }, fds) => {
    if (regions.length === 0 && state.postcopy === "unconfirmed") return confirmPages(state);
    const reply: Plan["reply"] = (_, __, addresses) => tableOf(regions, addresses);
    const problem = tableProblem(regions);
    if (problem !== undefined) return late(state, refuse(problem), reply);
    const plan = {
      stop: ringsWhere(state, (ring) => ring.running),
      // What leads into memory that is about to go must not be used any more, and is asked for again.
      effects: [
        ...forgetTranslations(state),
        { kind: "setMemory", regions, fds: [...fds], ...pages(state) },
      ] satisfies Effect[],
      commit: (s: SessionState) => withUnconfirmed({ ...s, regions, repeatedRegions: [], iotlb: EMPTY_IOTLB }),
      // The old memory is gone whatever became of the new one.
      failed: (s: SessionState) => ({ ...s, regions: [], repeatedRegions: [], iotlb: EMPTY_IOTLB }),
      start: ringsWhere(state, (ring) => ring.started),
    };
    return late(state, plan, reply);
  },
  ADD_MEM_REG: (state, { region }, fds) => {
    if (region === null) return confirmPages(state);
    const reply: Plan["reply"] = (_, __, addresses) => regionOf(region, addresses);
    if (isRepetition(state, region)) {
      return { commit: (s) => ({ ...s, repeatedRegions: [...s.repeatedRegions, region] }) };
    }
    if (state.regions.length >= MEM_SLOTS_MAX) {
      return late(state, refuse(`all ${MEM_SLOTS_MAX} memory slots are taken`), reply);
    }
    const problem = regionProblem(region, state.regions);
    if (problem !== undefined) return late(state, refuse(problem), reply);
    const plan = {
      effects: [{ kind: "addRegion", region, fd: fds[0]!, ...pages(state) }] satisfies Effect[],
      commit: (s: SessionState) => withUnconfirmed({ ...s, regions: [...s.regions, region] }),
      start: ringsWhere(state, (ring) => ring.started && !ring.running),
    };
    return late(state, plan, reply);
  },
  REM_MEM_REG: (state, { region }) => {
    if (region === null) return confirmPages(state);
    const known = state.regions.find((r) => sameRegion(r, region));
    if (known === undefined) {
      const repeated = state.repeatedRegions.findIndex((r) => sameRegion(r, region));
      if (repeated < 0) return refuse("there is no such memory region");
      return { commit: (s) => ({ ...s, repeatedRegions: s.repeatedRegions.filter((_, i) => i !== repeated) }) };
    }
    const stop = ringsWhere(state, (ring) => ring.running).filter((index) => {
      const ring = readiness(state, index);
      return ring.kind !== "ready" || ringTouches(ring.ring, known);
    });
    const iotlb = withoutRegion(state.iotlb, known);
    const forget = usesIotlb(state) ? [{ kind: "setTranslations" as const, entries: iotlb.entries }] : [];
    return {
      stop,
      effects: [...forget, { kind: "removeRegion", region: known }],
      commit: (s) => ({ ...s, regions: s.regions.filter((r) => r !== known), iotlb }),
      failed: (s) => ({ ...s, iotlb }),
      start: stop,
    };
  },
};

/**
 * QEMU 7.2 (10 does not) adds and removes a region once for each queue pair that it starts, in turn: the first time counts,
 * the others are in order. It waits for their acknowledgement; when one is refused it stops the card.
 */
function isRepetition(state: SessionState, region: MemoryRegion): boolean {
  const same = (r: MemoryRegion) => sameRegion(r, region) && r.mmapOffset === region.mmapOffset;
  if (pagesComeLate(state) || !state.regions.some(same)) return false;
  return state.repeatedRegions.filter(same).length < state.queuePairs - 1;
}

function pages(state: SessionState): Pages {
  return pagesComeLate(state) ? { pages: "late" } : {};
}

function withUnconfirmed(state: SessionState): SessionState {
  return pagesComeLate(state) ? { ...state, postcopy: "unconfirmed" } : state;
}

/** A plan or refusal with the reply for which the front-end waits when pages come late. */
function late<P extends Plan | Refusal>(state: SessionState, plan: P, reply: Plan["reply"]): P {
  return pagesComeLate(state) ? { ...plan, reply } : plan;
}
