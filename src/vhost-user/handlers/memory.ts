// The front-end's memory regions.

import { EMPTY_IOTLB, usesIotlb, withoutRegion } from "../iotlb.js";
import { answer, type Handlers, refuse } from "../plan.js";
import { regionProblem, ringTouches, sameRegion, tableProblem } from "../regions.js";
import { forgetTranslations } from "./iotlb.js";
import { MEM_SLOTS_MAX, readiness, ringsWhere } from "../state.js";

export const MEMORY_HANDLERS: Handlers = {
  GET_MAX_MEM_SLOTS: () => answer(BigInt(MEM_SLOTS_MAX)),
  SET_MEM_TABLE: (state, { regions }, fds) => {
    const problem = tableProblem(regions);
    if (problem !== undefined) return refuse(problem);
    return {
      stop: ringsWhere(state, (ring) => ring.running),
      // What leads into memory that is about to go must not be used any more, and is asked for again.
      effects: [...forgetTranslations(state), { kind: "setMemory", regions, fds: [...fds] }],
      commit: (s) => ({ ...s, regions, iotlb: EMPTY_IOTLB }),
      // The old memory is gone whatever became of the new one.
      failed: (s) => ({ ...s, regions: [], iotlb: EMPTY_IOTLB }),
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
