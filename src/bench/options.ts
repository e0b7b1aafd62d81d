// What a benchmark run is asked to do, checked.

import { type FrameSize, frameSizes, TSO_FRAME } from "../guest/traffic.js";
import { frameName } from "./report/words.js";
import type { BackEndSpec } from "./back-end.js";
import type { Direction } from "./result.js";

export const METHODS = ["mrr", "ndr", "pdr", "loss", "latency"] as const;
export type Method = (typeof METHODS)[number];
export const DIRECTIONS = ["one-way", "both-ways"] as const;
export const RING_FORMS = ["split", "packed"] as const;
export type RingForm = (typeof RING_FORMS)[number];

/** A frame's number has 16 bits, and every stream has one back. */
export const FLOWS_MAX = 32_767;
export const PORTS_MAX = 32;
export const FRAME_SIZE_MIN = 64;
export const FRAME_SIZE_MAX = 9216;

export interface BenchOptions {
  backEnds: BackEndSpec[];
  sizes: FrameSize[];
  directions: Direction[];
  /** Streams in each direction; each has two addresses of its own. */
  flows: number[];
  /** Ports of a back-end in use. */
  ports: number[];
  methods: Method[];
  /** Seconds of a window, and windows of each back-end for a figure. */
  duration: number;
  windows: number;
  /** A window in which generator or back-end stood still for longer is left out. */
  stallMs: number;
  /** Name of the back-end that the others are compared with. */
  reference?: string;
  /** CPUs of the generator and of the back-ends. */
  cpus: [generator: number, backEnd: number];
  /** Nice value of the generator's and the back-ends' threads, where it shall not stay what it is. */
  nice?: number;
  /** Queue pairs of a port, and entries of a ring. */
  queues: number;
  queueSize: number;
  ring: RingForm;
  /** The generator writes the payload of every frame, as guests do, instead of sending what the buffer held. */
  payload: boolean;
  hugePages: boolean;
  /** Of the ringbridge that is started here. */
  workers: number;
  poll: boolean;
}

/** One setting that is measured: everything but the back-end and the method. */
export interface Setting {
  frame: FrameSize;
  direction: Direction;
  flows: number;
  ports: number;
}

/** All settings, those first that can share guests. */
export function settingsOf({ sizes, directions, flows, ports }: BenchOptions): Setting[] {
  const list: Setting[] = [];
  for (const count of ports) {
    for (const flow of flows) {
      for (const frame of [...sizes].sort((a, b) => bufferFrame(a) - bufferFrame(b))) {
        for (const direction of directions) list.push({ frame, direction, flows: flow, ports: count });
      }
    }
  }
  return list;
}

/** Longest standard frame: buffers are at least for that, as real drivers' are. */
const STANDARD_FRAME = 1518;

/** The frame that the guests' buffers have to hold for frames of this size. */
export function bufferFrame(frame: FrameSize): number {
  if (frame === "tso") return TSO_FRAME;
  return frame === "imix" ? STANDARD_FRAME : Math.max(STANDARD_FRAME, frame);
}

/** Bits of a frame, on average. */
export function bitsPerFrame(frame: FrameSize): number {
  const sizes = frameSizes(frame);
  return (sizes.reduce((sum, size) => sum + size, 0) / sizes.length) * 8;
}

/** Words for a setting, such as "64 B one-way, 1000 flows". */
export function describeSetting({ frame, direction, flows, ports }: Setting): string {
  const size = frameName(frame);
  const more = [flows > 1 ? `${flows} flows` : "", ports > 2 ? `${ports} ports` : ""].filter((text) => text !== "");
  return [`${size} ${direction}`, ...more].join(", ");
}

/** Throws an Error, with a sentence, for what cannot be measured. */
export function checkOptions(options: BenchOptions): void {
  const { backEnds, reference, flows, ports } = options;
  const names = backEnds.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`two back-ends are named ${twice}: give them different names`);
  if (reference !== undefined && !names.includes(reference)) {
    throw new Error(`--reference ${reference}: no back-end has that name; there are ${names.join(", ")}`);
  }
  for (const spec of backEnds) {
    const most = Math.max(...ports);
    if (spec.kind === "sockets" && spec.sockets.length < most) {
      throw new Error(`--ports ${most}: ${spec.name} was given ${spec.sockets.length} sockets: name ${most}`);
    }
  }
  if (options.sizes.includes("tso") && backEnds.some(({ kind }) => kind === "null")) {
    throw new Error("tso: the null back-end does not carry frames in several buffers");
  }
  const flow = flows.find((count) => count > FLOWS_MAX);
  if (flow !== undefined) throw new Error(`--flows ${flow}: at most ${FLOWS_MAX}`);
  if (options.cpus[0] === options.cpus[1]) {
    throw new Error(`--cpus ${options.cpus.join(",")}: generator and back-end need a core each`);
  }
}
