// A cable between two labs' switches: rate, delay, loss and a queue in front of it, in both directions alike.

import { SECOND } from "./clock.js";
import type { LabGuest } from "./guest.js";
import type { Lab } from "./lab.js";
import type { Origin } from "./ledger.js";
import type { Random } from "./random.js";

/** What a link is like, both directions of it. */
export interface LinkOptions {
  /** Name of the guest that is the link's end in either lab. Default "link". */
  name?: string;
  /** Bits in a second. Default: no limit. */
  bitsPerSecond?: number;
  /** Milliseconds that a bit is under way. Default 0. */
  delay?: number;
  /** Share of frames that are lost, 0 to 1, by the first lab's seed. Default 0. */
  loss?: number;
  /** Bytes that may wait for the cable; what comes then is dropped. Default 256 KiB. */
  queueBytes?: number;
}

/** Preamble, frame check sequence and gap between frames: bytes of the cable's time beside the frame's own. */
const WIRE_OVERHEAD = 24;

/** One direction, and what became of the frames in it. */
export class LinkDirection {
  carried = 0;
  lost = 0;
  overflowed = 0;
  /** Frames for which the far switch's end of the link had no room. */
  refused = 0;
  private freeAt = 0;

  constructor(
    /** The link's end at the far switch. */
    readonly to: LabGuest,
    private readonly options: LinkOptions,
    private readonly random: Random,
  ) {}

  /** Puts a frame on the cable, or drops it and counts why. */
  send(frame: Uint8Array, origin?: Origin): void {
    const { bitsPerSecond, delay = 0, loss = 0, queueBytes = 256 * 1024 } = this.options;
    const { clock } = this.to.lab;
    const perByte = bitsPerSecond === undefined ? 0 : (8 * SECOND) / bitsPerSecond;
    const waiting = Math.max(0, this.freeAt - clock.now);
    if (waiting > queueBytes * perByte && perByte > 0) {
      this.overflowed++;
      return;
    }
    this.freeAt = clock.now + waiting + (frame.length + WIRE_OVERHEAD) * perByte;
    if (this.random.chance(loss)) {
      this.lost++;
      return;
    }
    clock.after(this.freeAt - clock.now + delay * 1e6, () => {
      if (this.to.send(frame, { origin })) this.carried++;
      else this.refused++;
    });
  }
}

/** Both directions of a link. */
export interface Link {
  forth: LinkDirection;
  back: LinkDirection;
}

/** Links two labs that share a clock: `createLab({ clock: first.clock })`. Throws when they do not. */
export async function linkLabs(first: Lab, second: Lab, options: LinkOptions = {}): Promise<Link> {
  if (first.clock !== second.clock) throw new Error("linked labs need one clock: createLab({ clock: first.clock })");
  const { name = "link" } = options;
  // Its ends have no traffic of their own, and so no address that a switch would know.
  const end = (lab: Lab, side: number) =>
    lab.guest(name, { announce: false, mac: `02:ff:00:00:00:0${side}`, mergeable: true, eventIdx: true, relay: true });
  const [a, b] = [await end(first, 1), await end(second, 2)];
  const random = first.random.fork(`link ${name}`);
  const forth = new LinkDirection(b, options, random.fork("forth"));
  const back = new LinkDirection(a, options, random.fork("back"));
  a.onFrame = (frame, origin) => forth.send(frame, origin);
  b.onFrame = (frame, origin) => back.send(frame, origin);
  return { forth, back };
}
