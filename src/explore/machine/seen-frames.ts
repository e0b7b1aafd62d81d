// The frames that have passed the switch's ports, found in the steps that its worker makes: from a guest when their addresses
// are read, to a guest when their buffers are given back.

import { VIRTIO_NET_HDR_NUM_BUFFERS_OFFSET, VIRTIO_NET_HDR_SIZE } from "../../../assembly/spec/virtio.js";
import * as layout from "../../core/layout.js";
import { concat } from "../../testing/bytes.js";
import type { Step } from "./log.js";
import type { Places } from "./places.js";
import type { Sites } from "./sites.js";
import type { World } from "./world.js";

/** A frame at a port of the switch. */
export interface SeenFrame {
  guest: number;
  /** From the guest into the switch, or from the switch to the guest. */
  direction: "in" | "out";
  bytes: Uint8Array;
}

interface Context {
  world: World;
  places: Places;
  sites: Sites;
}

/** Frames that a step of the worker has brought to light; memory is as it is right after the step. */
export function framesSeen(step: Step, context: Context): SeenFrame[] {
  const { change, address, kind } = step;
  if (!change || kind === "copy") return [];
  const place = context.places.at(address);
  if (place.part === "frames" && place.field === "source") return takenFrame(step, context, place.index ?? 0);
  if (place.kind !== "ring" || place.queue !== "receiveq") return [];
  if (place.part === "used" && place.field === "idx") return givenSplit(step, context, place.guest!);
  if (place.part === "desc") return givenPacked(step, context, place.guest!, place.index!);
  return [];
}

/** Of which guest the frame is stands in the transmitq that is served: the last one whose indices were read. */
function takenFrame(step: Step, { world, places }: Context, number: number): SeenFrame[] {
  const { bridge, data, bytes } = world;
  const at = bridge.workers[0]!.get("frameTable") + number * layout.Frame.size;
  const { fields } = layout.Frame;
  const word = (field: keyof typeof fields) => data.getUint32(at + fields[field].offset, true);
  const parts: Uint8Array[] = [];
  if (word("segments") === 1) parts.push(bytes.slice(word("at"), word("at") + word("length")));
  else {
    for (let i = 0; i < word("segments"); i++) {
      const segment = word("at") + i * layout.Segment.size;
      const [offset, length] = [data.getUint32(segment, true), data.getUint32(segment + 4, true)];
      parts.push(bytes.slice(offset, offset + length));
    }
  }
  const first = word("segments") === 1 ? word("at") : data.getUint32(word("at"), true);
  const { guest } = places.at(first);
  return guest === undefined || step.actor !== "device" ? [] : [{ guest, direction: "in", bytes: concat(parts) }];
}

function givenSplit({ change }: Step, context: Context, guest: number): SeenFrame[] {
  const { world } = context;
  const { layout: of, window } = world.guests[guest]!;
  const { used, size } = of.receiveq;
  const index = (bytes: Uint8Array) => bytes[0]! | (bytes[1]! << 8);
  const frames: SeenFrame[] = [];
  let parts: Uint8Array[] = [];
  for (let at = index(change!.before); at !== index(change!.after); at = (at + 1) & 0xffff) {
    const element = window + used - of.base + 4 + (at % size) * 8;
    const [head, written] = [world.data.getUint32(element, true), world.data.getUint32(element + 4, true)];
    parts.push(bufferBytes(context, guest, head, written));
    if (parts.length < buffersOf(parts[0]!)) continue;
    frames.push(...frameOf(guest, parts));
    parts = [];
  }
  return frames;
}

/** The buffers of a merged frame behind the first are used before it (assembly/virtq/packed.ts). */
function givenPacked({ site, change }: Step, context: Context, guest: number, index: number): SeenFrame[] {
  const { world, sites } = context;
  if (site === undefined || sites.get(site).function?.name === "giveRest") return [];
  const { size } = world.guests[guest]!.layout.receiveq;
  const length = (bytes: Uint8Array) => bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16);
  const parts = [bufferBytes(context, guest, index, length(change!.after))];
  for (let i = 1; i < buffersOf(parts[0]!); i++) {
    const next = (index + i) % size;
    const at = descriptorAt(context, guest, next);
    parts.push(bufferBytes(context, guest, next, world.data.getUint32(at + 8, true)));
  }
  return frameOf(guest, parts);
}

function frameOf(guest: number, parts: Uint8Array[]): SeenFrame[] {
  const whole = concat(parts);
  if (whole.length <= VIRTIO_NET_HDR_SIZE) return [];
  return [{ guest, direction: "out", bytes: whole.slice(VIRTIO_NET_HDR_SIZE) }];
}

function buffersOf(bytes: Uint8Array): number {
  return bytes.length < VIRTIO_NET_HDR_SIZE ? 1 : bytes[VIRTIO_NET_HDR_NUM_BUFFERS_OFFSET]! || 1;
}

function descriptorAt({ world }: Context, guest: number, index: number): number {
  const { layout: of, window } = world.guests[guest]!;
  return window + of.receiveq.desc - of.base + (index % of.receiveq.size) * 16;
}

/** Drivers of the machine give receive buffers of one descriptor each. */
function bufferBytes(context: Context, guest: number, descriptor: number, written: number): Uint8Array {
  const { bytes, data, guests } = context.world;
  const { window, layout: of, setup } = guests[guest]!;
  const address = Number(data.getBigUint64(descriptorAt(context, guest, descriptor), true));
  if (address < of.base || address >= of.base + of.bytes) return new Uint8Array();
  const at = window + address - of.base;
  return bytes.slice(at, at + Math.min(written, setup.rxBufferBytes));
}
