// Postcopy migration to this port: the guest runs before its memory has come, and a page comes when somebody waits for it.
//
//   POSTCOPY_ADVISE   we make a userfaultfd, and the front-end gets it
//   POSTCOPY_LISTEN   memory from now on has pages that come late
//   SET_MEM_TABLE or ADD_MEM_REG   answered with the same regions at the addresses where we have mapped them
//   the same request, eight zero bytes   the front-end brings pages for these addresses: rings may start
//   POSTCOPY_END      all pages have come
//
// The order is QEMU's (hw/virtio/vhost-user.c), which the specification does not give whole.

import { hasBit } from "../../core/feature-bits.js";
import type { MemoryRegion } from "../effects.js";
import { PROTOCOL_F_PAGEFAULT } from "../features.js";
import type { Payload } from "../message.js";
import { type Handlers, type Plan, type Refusal, refuse } from "../plan.js";
import { ringsWhere, type SessionState } from "../state.js";

const NOT_AGREED =
  "VHOST_USER_PROTOCOL_F_PAGEFAULT is not agreed to: migrate without postcopy, or allow it with postcopy: true on the port";

export const POSTCOPY_HANDLERS: Handlers = {
  POSTCOPY_ADVISE: (state) => {
    // The front-end waits for a reply. One without a descriptor says no.
    const reply = (): Payload => ({ kind: "none" });
    if (!isAgreed(state)) return { ...refuse(NOT_AGREED), reply };
    if (state.postcopy !== "none") {
      // QEMU (10.0) asks once for each queue pair, then waits for ever for the answer to a message that it has left out:
      // better the migration fails now, while the guest still runs at its source.
      const why = "it came before: QEMU can not move a card of several queue pairs so, give it one or migrate without";
      return { ...refuse(`${why} postcopy`), reply };
    }
    return { effects: [{ kind: "openUserfault" }], commit: (s) => ({ ...s, postcopy: "advised" }), reply };
  },
  POSTCOPY_LISTEN: (state) => {
    if (!isAgreed(state)) return refuse(NOT_AGREED);
    if (state.postcopy !== "advised") {
      return refuse(state.postcopy === "none" ? "no POSTCOPY_ADVISE has come" : "it came before");
    }
    // Pages of that could have been missed already.
    if (state.regions.length > 0) return refuse("there is guest memory already, of which pages were not waited for");
    return { commit: (s) => ({ ...s, postcopy: "listening" }) };
  },
  POSTCOPY_END: (state) => {
    const no = isAgreed(state) ? "no POSTCOPY_LISTEN has come" : NOT_AGREED;
    if (!pagesComeLate(state)) return { ...refuse(no), reply: () => u64(1n) };
    return {
      effects: [{ kind: "endPostcopy" }],
      commit: (s) => ({ ...s, postcopy: "none" }),
      start: waitingRings(state),
      reply: (s) => u64(s.postcopy === "none" ? 0n : 1n),
    };
  },
};

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

function u64(value: bigint): Payload {
  return { kind: "u64", value };
}
