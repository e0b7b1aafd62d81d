// A vhost-user session to be stepped message by message: how a guest's RAM gets into linear memory. Apart from the machine, so
// that a page loads it only for that lesson.
//
//   const session = new SessionSteps({ frontEnd: "qemu", ring: "split", size: 256, mistake: "none" });
//   for (let exchange = session.step(); exchange; exchange = session.step()) show(exchange, session.view());
//   session.at(5);     // the same after the first five messages

export { descriptorText, SESSION_MISTAKES, type SessionMistake, type SessionOptions } from "./front-end.js";
export {
  type Exchange,
  type RegionView,
  type RingPartView,
  type RingView,
  SessionSteps,
  type SessionView,
} from "./session.js";
export type { WireField } from "./wire-fields.js";
