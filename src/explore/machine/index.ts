// The machine's whole interface: a switch and two or three guests in one linear memory, stepped one memory access at a time,
// forward and back, by the production core. No DOM, no Node, no time.
//
//   const build = { module: compileTraced(wasmBytes), sites: new Sites(table), driverSource };
//   const machine = await Machine.create(makeSetup({ guests: [{}, { ring: "packed" }] }), build);
//   machine.operate(0, { do: "send", to: 1, payload: 26 });
//   machine.stepDriver(0);                  // one access of a's driver
//   machine.stepDriver(0, "operation");     // the rest of it, with its kick
//   machine.stepDevice("burst");            // the switch takes the frame and delivers it
//   machine.operate(1, { do: "receive" }); machine.stepDriver(1, "operation");
//   machine.view();                         // all that there is to see
//   machine.back(3); machine.forward(3);    // the same memory, byte for byte
//   machine.runUntil([{ on: "change", place: "b.receiveq.used.idx" }]);
//   location.hash = encodeState(machine.state);
//   await Machine.open(decodeState(location.hash.slice(1)), build);

export type { Breakpoint } from "./breakpoints.js";
export { CACHE_LINE, type CacheLines, type LineCount } from "./cache-lines.js";
export { decodeState, encodeState } from "./codec.js";
export { BAD_CHAINS, type BadChain } from "./driver/hostile.js";
export type { QueueKey } from "./driver/access.js";
export type { Operation, ReceivedFrame, SendOperation } from "./driver/net.js";
export type { Event, Note } from "./events.js";
export { bytesText, descriptorFlags, eventFlags, type FieldView, fieldText } from "./field-text.js";
export type { Actor, CoreCall, Fault, FaultLogic, HeldStore } from "./log.js";
export type { DeviceGrain, DriverGrain } from "./grains.js";
export { Machine, type MachineBuild, type RunOptions, type RunResult } from "./machine.js";
export type { Place } from "./places.js";
export type { DescriptorRow, DescriptorState, PackedView, SplitView } from "./ring-view.js";
export type { SeenFrame } from "./seen-frames.js";
export {
  checkSetup,
  GUEST_NAMES,
  type GuestSetup,
  makeSetup,
  PLAIN_GUEST,
  type Setup,
  type SetupOptions,
  stationOf,
} from "./setup.js";
export { type AccessKind, type Site, Sites, type SiteTable, type SourceFunction } from "./sites.js";
export { DRIVER_FILES, type DriverSource, type SourceLine } from "./sources.js";
export type { Move, State } from "./state.js";
export { compileTraced } from "./traced-core.js";
export type { BufferView, GuestView, HeaderView, QueueView, View } from "./view.js";
