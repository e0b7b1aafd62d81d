// Descriptors and indices that no driver would write. Whatever the back-end makes of them, it lives on, the guest at the
// other socket notices nothing, and a good guest that comes to the same socket is served.

import { VIRTIO_F_VERSION_1 } from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import type { CheckCase, Workbench } from "../case.js";
import { frame } from "../frames.js";
import type { CheckGuest } from "../guest.js";
import type { Bend } from "./bends.js";
import { RECEIVE } from "./receive-bends.js";
import { TRANSMIT } from "./transmit-bends.js";

const room = "descriptors";
const SENT = 8;

/** A transmitq that is bent; with two sockets, beside a guest that goes on. */
function transmit({ id, title, clause, features = [], how }: Bend): CheckCase {
  return {
    id,
    room,
    title: `transmitq: ${title}`,
    clause,
    needs: { features },
    sockets: 1,
    run: async (bench) => {
      const options = { features: bits(VIRTIO_F_VERSION_1, ...features) };
      const two = bench.sockets.target.sockets.length === 2;
      const [a, b] = two ? await bench.pair(options, {}) : [await bench.started(0, options), undefined];
      how(a.rings[1]!, a);
      a.rings[1]!.notify();
      await bench.quiet();
      if (b) await goesOn(bench, a, b);
    },
  };
}

/** A receiveq that is bent, then sent to. */
function receive({ id, title, clause, features = [], how }: Bend): CheckCase {
  return {
    id,
    room,
    title: `receiveq: ${title}`,
    clause,
    needs: { features },
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({}, { features: bits(VIRTIO_F_VERSION_1, ...features) });
      how(b.rings[0]!, b);
      b.rings[0]!.notify();
      for (let i = 0; i < SENT; i++) a.send(frame(1, 2, 400, i));
      await bench.quiet();
      await goesOn(bench, b, a);
    },
  };
}

/** The bent guest leaves, another one comes to its socket: it and the guest that stayed can talk. */
export async function goesOn(bench: Workbench, bent: CheckGuest, other: CheckGuest): Promise<void> {
  bent.link.close();
  const next = await bench.started(bent.station - 1);
  await bench.open(other, next);
  await bench.open(next, other);
  await bench.passAll(next, other, [60, 1000]);
}

export const DESCRIPTOR_CASES: CheckCase[] = [...TRANSMIT.map(transmit), ...RECEIVE.map(receive)];
