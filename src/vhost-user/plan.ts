// What a handler gives back for one request: a plan to carry out, or the reason why the request is refused.

import type { Effect, Fd } from "./effects.js";
import type { MessageName, MessagePayload, Payload } from "./message.js";
import type { SessionState } from "./state.js";

/**
 * A request carried out in four stages, each after the one before: stop rings, make the change, take it into the
 * state, start rings. Descriptors need no mention: those that neither the new state nor an effect holds are closed.
 */
export interface Plan {
  /** Running rings that must stand while the change is made. Where they stopped is in the state that commit sees. */
  stop?: readonly number[];
  /** They stop for want of translations that are asked for: see the effect. */
  untranslated?: true;
  effects?: Effect[];
  /** The change in the state, when all effects went well. */
  commit?: (state: SessionState) => SessionState;
  /** The change in the state when one did not; without it the state stays as it was. */
  failed?: (state: SessionState) => SessionState;
  /** Rings to start now if they have all they need. */
  start?: readonly number[];
  /** The request is about these rings alone: one that does not fit into guest memory is the request's failure. */
  strict?: boolean;
  /** The request's own reply; `fds` were made by its effects and go with it, `addresses` are what they had to tell. */
  reply?: (state: SessionState, fds: readonly Fd[], addresses: readonly bigint[]) => Payload;
}

/** Why a request is refused: the end of a sentence for the operator. */
export interface Refusal {
  refused: string;
  /** What must be remembered of it. */
  commit?: (state: SessionState) => SessionState;
  /** For a request with a reply of its own, for which the front-end waits. */
  reply?: Plan["reply"];
}

/** A handler is given the descriptors the message may have; their number has been checked. */
export type Handlers = {
  [N in MessageName]?: (state: SessionState, payload: MessagePayload<N>, fds: readonly Fd[]) => Plan | Refusal;
};

/** The reply is this number. */
export function answer(value: bigint): Plan {
  return { reply: () => ({ kind: "u64", value }) };
}

/** See Refusal. */
export function refuse(refused: string): Refusal {
  return { refused };
}
