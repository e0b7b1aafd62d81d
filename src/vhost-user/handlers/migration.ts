// Live migration: the dirty log, in which the switch marks the pages that it writes, and the port's own state.

import { hasBit } from "../../core/feature-bits.js";
import { PROTOCOL_F_DEVICE_STATE, PROTOCOL_F_LOG_SHMFD } from "../features.js";
import type { Payload } from "../message.js";
import { type Handlers, type Refusal, refuse } from "../plan.js";
import { ringsWhere, type SessionState } from "../state.js";

/** The log has one bit for each page of this size, whatever the host's pages are. */
const LOG_PAGE = 4096n;
/** A file offset is a signed 64-bit number (off_t). */
const FILE_OFFSETS = 1n << 63n;

const DIRECTION_SAVE = 0;
const DIRECTION_LOAD = 1;
/** The reply to SET_DEVICE_STATE_FD: bits 0-7 an error, bit 8 "use your own descriptor, none comes back". */
const STATE_FAILED = 1n;
const STATE_NO_FD = 0x100n;

export const MIGRATION_HANDLERS: Handlers = {
  SET_LOG_BASE: (state, { mmapSize, mmapOffset }, fds) => {
    if (!hasBit(state.protocolFeatures, PROTOCOL_F_LOG_SHMFD)) return refuse("LOG_SHMFD was not negotiated");
    const fd = fds[0];
    if (fd === undefined) return noLog("no descriptor came with it");
    if (mmapSize === 0n) return noLog("the log is empty");
    if (mmapOffset + mmapSize > FILE_OFFSETS) {
      return noLog(`it ends past any file (offset 0x${mmapOffset.toString(16)}, size 0x${mmapSize.toString(16)})`);
    }
    const needed = logBytesNeeded(state);
    if (mmapSize < needed) return noLog(`the log has ${mmapSize} bytes, the guest's memory takes ${needed}`);
    return {
      effects: [{ kind: "setLog", log: { fd, size: mmapSize, offset: mmapOffset } }],
      commit: (s) => ({ ...s, log: "mapped" }),
      failed: (s) => ({ ...s, log: "refused" }),
      reply: (s) => u64(s.log === "mapped" ? 0n : 1n),
    };
  },
  // As the kernel's VHOST_SET_LOG_FD: it may come before there is a log, and outlasts one.
  SET_LOG_FD: (_, __, fds) => {
    const fd = fds[0]!;
    return { effects: [{ kind: "setLogFd", fd }], commit: (s) => ({ ...s, logFd: fd }) };
  },

  SET_DEVICE_STATE_FD: (state, { direction, phase }, fds) => {
    const fd = fds[0];
    if (!hasBit(state.protocolFeatures, PROTOCOL_F_DEVICE_STATE)) return noTransfer("DEVICE_STATE was not negotiated");
    if (fd === undefined) return noTransfer("no descriptor came with it");
    if (direction !== DIRECTION_SAVE && direction !== DIRECTION_LOAD) return noTransfer(`${direction} is no direction`);
    if (phase !== 0) return noTransfer(`${phase} is no phase of a migration`);
    const started = ringsWhere(state, (ring) => ring.started);
    if (started.length > 0) return noTransfer(`queue ${started[0]} has not been stopped`);
    return {
      effects: [{ kind: "transferState", direction: direction === DIRECTION_SAVE ? "save" : "load", fd }],
      commit: (s) => ({ ...s, transfer: "running" }),
      failed: (s) => ({ ...s, transfer: "failed" }),
      reply: (s) => u64(s.transfer === "running" ? STATE_NO_FD : STATE_NO_FD | STATE_FAILED),
    };
  },
  CHECK_DEVICE_STATE: (state) => {
    if (state.transfer !== "running") return { ...refuse("no transfer is under way"), reply: () => u64(1n) };
    return {
      effects: [{ kind: "finishTransfer" }],
      commit: (s) => ({ ...s, transfer: "none" }),
      failed: (s) => ({ ...s, transfer: "failed" }),
      reply: (s) => u64(s.transfer === "none" ? 0n : 1n),
    };
  },
};

/** Why VHOST_F_LOG_ALL can not be had, or undefined. A front-end that does not look at a refused log is told so here. */
export function loggingProblem(state: SessionState): string | undefined {
  return state.log === "refused"
    ? "the dirty log of SET_LOG_BASE could not be had: what is written would be lost"
    : undefined;
}

/** Bytes of a log for all of the guest's memory, as it is known so far. */
function logBytesNeeded(state: SessionState): bigint {
  let end = 0n;
  for (const { guestAddress, size } of state.regions) if (guestAddress + size > end) end = guestAddress + size;
  return (end + 8n * LOG_PAGE - 1n) / (8n * LOG_PAGE);
}

/** The front-end waits for the reply, so a refusal has one too. */
function noLog(reason: string): Refusal {
  return { ...refuse(reason), commit: (s) => ({ ...s, log: "refused" }), reply: () => u64(1n) };
}

function noTransfer(reason: string): Refusal {
  return { ...refuse(reason), reply: () => u64(STATE_NO_FD | STATE_FAILED) };
}

function u64(value: bigint): Payload {
  return { kind: "u64", value };
}
