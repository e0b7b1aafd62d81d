// What a capture costs the worker: a burst between two guests of which nobody keeps a copy, and the same with the sender
// captured, where the ring has no room left and where the host has read everything.

import { CaptureRings } from "../../src/core/capture-rings.js";
import * as layout from "../../src/core/layout.js";
import { acquainted, again } from "./poll.js";
import { type Case, expect } from "./lab.js";

const BURST = 64;
const FRAMES = 1024;
const RING_BYTES = 256 * 1024;

export async function captures(): Promise<Case[]> {
  const cases: Case[] = [];
  for (const bytes of [64, 1518]) {
    for (const capture of ["nothing captured", "ring full", "all recorded"] as const) {
      cases.push(await captured(bytes, capture));
    }
  }
  return cases;
}

async function captured(bytes: number, capture: "nothing captured" | "ring full" | "all recorded"): Promise<Case> {
  const guests = await acquainted(bytes);
  const once = again(guests, BURST);
  const { bridge } = guests.sw;
  const { port } = guests.a;
  const { u32 } = bridge.views;
  const rings = new CaptureRings(bridge, layout.FRAME_MAX, RING_BYTES);
  if (capture !== "nothing captured") await rings.attach(port, 0);
  const ring = port.taps.length === 0 ? 0 : u32[(port.taps[0]! + layout.Tap.fields.rings.offset) >>> 2]!;
  const [head, tail] = [layout.CaptureRing.fields.head, layout.CaptureRing.fields.tail].map(
    ({ offset }) => (ring + offset) >>> 2,
  ) as [number, number];
  if (capture === "ring full") while (rings.counts(0).missed === 0) once();
  return {
    group: "capture",
    name: `${bytes} B, burst of ${BURST}, ${capture}`,
    operations: FRAMES,
    run() {
      let frames = 0;
      for (let i = 0; i < FRAMES / BURST; i++) {
        frames += once();
        if (capture === "all recorded") u32[tail] = u32[head]!;
      }
      expect("frames", frames, FRAMES);
    },
  };
}
