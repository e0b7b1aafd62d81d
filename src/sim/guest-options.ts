// A guest of a scenario's file as the lab takes it.

import type { LabGuestOptions } from "../testing/guest.js";
import type { GuestShape } from "../testing/shape.js";
import type { GuestSpec } from "./schema.js";

/** Its rings and features. Keys that are not there stay away. */
export function shapeOptions(spec: GuestSpec): GuestShape {
  const { ring, size, legacy, mergeable, indirect, "event-idx": eventIdx, "in-order": inOrder, offloads } = spec;
  return present({ ring, size, legacy, mergeable, indirect, eventIdx, inOrder, offloads });
}

/** A shape in the file's words. */
export function shapeSpec({ eventIdx, inOrder, ...rest }: GuestShape): GuestSpec {
  return present({ ...rest, "event-idx": eventIdx, "in-order": inOrder });
}

export function guestOptions(spec: GuestSpec): LabGuestOptions {
  const { pairs, rate, regions, mtu, announce, pieces } = spec;
  return present({
    ...shapeOptions(spec),
    ...{ pairs, rate, regions, mtu, announce },
    ...{ rxBuffers: spec["rx-buffers"], rxBufferBytes: spec["rx-buffer-bytes"], transmitBytes: spec["transmit-bytes"] },
    pieces: pieces === undefined ? undefined : [pieces].flat(),
  });
}

function present<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}
