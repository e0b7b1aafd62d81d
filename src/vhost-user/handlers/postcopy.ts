// Postcopy migration to this port: the guest runs before its memory has come, and a page comes when somebody waits for it.
//
//   POSTCOPY_ADVISE   we make a userfaultfd, and the front-end gets it
//   POSTCOPY_LISTEN   memory from now on has pages that come late
//   SET_MEM_TABLE or ADD_MEM_REG   answered with the same regions at the addresses where we have mapped them
//   the same request, eight zero bytes   the front-end brings pages for these addresses: rings may start
//   POSTCOPY_END      all pages have come
//
// The order is QEMU's (hw/virtio/vhost-user.c), which the specification does not give whole.

import { bits, hasBit } from "../../core/feature-bits.js";
import type { MemoryRegion } from "../effects.js";
import { PROTOCOL_F_PAGEFAULT } from "../features.js";
import type { Payload } from "../message.js";
import { type Handlers, type Plan, type Refusal, refuse } from "../plan.js";
import { ringsWhere, type SessionState } from "../state.js";

const NOT_AGREED = "VHOST_USER_PROTOCOL_F_PAGEFAULT is not agreed to: migrate without postcopy, or";
const PORT_FORBIDS = `${NOT_AGREED} allow it with postcopy: true on the port`;
const SEVERAL_PAIRS = `${NOT_AGREED} give the card one queue pair: QEMU can not move one of several so`;
const WITHHELD =
  "postcopy is not offered any more: QEMU can not move a card of several queue pairs so (it may be migrated without)";

export const POSTCOPY_HANDLERS: Handlers = {
  POSTCOPY_ADVISE: (state) => {
    // The front-end waits for a reply. One without a descriptor says no.
    const reply = (): Payload => ({ kind: "none" });
    if (!isAgreed(state)) return { ...refuse(notAgreed(state)), reply };
    if (state.postcopy !== "none") return { ...refuse("it came before"), reply };
    return { effects: [{ kind: "openUserfault" }], commit: (s) => ({ ...s, postcopy: "advised" }), reply };
  },
  POSTCOPY_LISTEN: (state) => {
    if (!isAgreed(state)) return refuse(notAgreed(state));
    if (state.postcopy !== "advised") {
      return refuse(state.postcopy === "none" ? "no POSTCOPY_ADVISE has come" : "it came before");
    }
    // Pages of that could have been missed already.
    if (state.regions.length > 0) return refuse("there is guest memory already, of which pages were not waited for");
    return { commit: (s) => ({ ...s, postcopy: "listening" }) };
  },
  POSTCOPY_END: (state) => {
    const no = isAgreed(state) ? "no POSTCOPY_LISTEN has come" : notAgreed(state);
    if (!pagesComeLate(state)) return { ...refuse(no), reply: () => u64(1n) };
    return {
      effects: [{ kind: "endPostcopy" }],
      commit: (s) => ({ ...s, postcopy: "none" }),
      start: waitingRings(state),
      reply: (s) => u64(s.postcopy === "none" ? 0n : 1n),
    };
  },
};

/**
 * The answer to GET_PROTOCOL_FEATURES of a front-end that has agreed to postcopy and asks again. That is QEMU, with the
 * device of its next queue pair: it would send POSTCOPY_ADVISE for each (7.2 to 10), and then wait for ever for the answer
 * to the memory table of the second, which it leaves out. Without the bit it refuses postcopy when it is switched on
 * (`migrate-set-capabilities` at the destination), with the guest running at its source.
 */
export function withoutPostcopy(state: SessionState): Plan {
  const offered = state.offeredProtocolFeatures & ~bits(PROTOCOL_F_PAGEFAULT);
  return {
    effects: [{ kind: "log", level: "info", text: WITHHELD }],
    commit: (s) => ({ ...s, offeredProtocolFeatures: offered, postcopyWithheld: true }),
    reply: () => u64(offered),
  };
}

/** Memory that is given now has pages that come late. */
export function pagesComeLate({ postcopy }: SessionState): boolean {
  return postcopy === "listening" || postcopy === "unconfirmed" || postcopy === "confirmed";
}

/** The front-end says that it brings pages of the regions that it was told the addresses of. */
export function confirmPages(state: SessionState): Plan | Refusal {
  if (state.postcopy !== "unconfirmed") return refuse("there is no memory region with it, and none to be confirmed");
  return { commit: (s) => ({ ...s, postcopy: "confirmed" }), start: waitingRings(state) };
}

/** The answer to new regions whose pages come late. One of another size than the request says no. */
export function tableOf(regions: readonly MemoryRegion[], addresses: readonly bigint[]): Payload {
  if (addresses.length !== regions.length) return { kind: "memTable", regions: [] };
  return { kind: "memTable", regions: regions.map((region, i) => ({ ...region, userAddress: addresses[i]! })) };
}

/** The same for one region. */
export function regionOf(region: MemoryRegion, addresses: readonly bigint[]): Payload {
  const [userAddress] = addresses;
  return userAddress === undefined ? u64(1n) : { kind: "memRegion", region: { ...region, userAddress } };
}

function waitingRings(state: SessionState): number[] {
  return ringsWhere(state, (ring) => ring.started && !ring.running);
}

function isAgreed({ protocolFeatures }: SessionState): boolean {
  return hasBit(protocolFeatures, PROTOCOL_F_PAGEFAULT);
}

function notAgreed({ postcopyWithheld }: SessionState): string {
  return postcopyWithheld ? SEVERAL_PAIRS : PORT_FORBIDS;
}

function u64(value: bigint): Payload {
  return { kind: "u64", value };
}
