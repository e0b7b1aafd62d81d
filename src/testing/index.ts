// ringbridge/testing: a laboratory for dataplane tests. The switch's own core, guests with every kind of ring, traffic,
// faults and a virtual clock, all in one thread: no VM, no root, no Linux, and in a browser as well. See docs/LAB.md.

export { type CapturedFrame, writePcapng } from "../capture/pcapng.js";
export { type RecordedFrame, readCapture } from "../capture/read.js";
export type { VirtualClock } from "./clock.js";
export { type Account, accountOf, conservesFrames } from "./conservation.js";
export { type DrawOptions, drawFaults, FAULT_KINDS, type Fault, type FaultKind } from "./faults.js";
export * from "./frames/index.js";
export type { LabGuest, LabGuestOptions, SendOptions } from "./guest.js";
export type { ReceivedFrame, Trouble } from "./guest-driver.js";
export { RingJudge, RingViolation } from "./judge/judge.js";
export { createLab, type Lab, type LabOptions } from "./lab.js";
export type { FlowCounts } from "./ledger.js";
export { type Link, type LinkDirection, type LinkOptions, linkLabs } from "./links.js";
export { Random } from "./random.js";
export { forEachSeed, type SeedsOptions } from "./seeds.js";
export { drawShape, type GuestShape } from "./shape.js";
export * from "./traffic.js";
export * from "./verdicts.js";
export type { LabBuild, WasmSource } from "./wasm.js";
