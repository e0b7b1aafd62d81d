// What the demo's counters amount to: rates between two samples, and whether every frame is accounted for.

import type { SwitchStatus } from "../api/status.js";
import { latencyQuantile } from "../guest/driver.js";
import type { LabSample } from "./demo-lab.js";

/** One direction of traffic. Counts are since the start, rates (frames and bits a second) since the sample before. */
export interface DemoDirection {
  from: string;
  to: string;
  sent: number;
  received: number;
  /** Not delivered, by cause, as the switch counted them. */
  drops: Record<string, number>;
  dropped: number;
  corrupt: number;
  duplicates: number;
  reordered: number;
  sentPerSecond: number;
  receivedPerSecond: number;
  bitsPerSecond: number;
  /** Microseconds from the sender's ring to the receiver's check: half, and 99 % of the frames took no longer. */
  latencyUs?: { p50: number; p99: number };
}

/** The directions of a sample, with rates since `before`. */
export function directions(names: readonly string[], before: LabSample, after: LabSample): DemoDirection[] {
  return names.map((from, i) => {
    const j = names.length - 1 - i;
    const [sender, receiver] = [after.guests[i]!, after.guests[j]!];
    const [senderBefore, receiverBefore] = [before.guests[i]!, before.guests[j]!];
    const { sent } = sender.counters;
    const { received } = receiver.counters;
    const sendSeconds = (sender.atMs - senderBefore.atMs) / 1000;
    const receiveSeconds = (receiver.atMs - receiverBefore.atMs) / 1000;
    const rate = (now: number, then: number, seconds: number) => (seconds > 0 ? (now - then) / seconds : 0);
    const drops = dropsBetween(after.status, from, names[j]!);
    const latencies = receiver.latencies.map((count, bucket) => count - receiverBefore.latencies[bucket]!);
    const [p50, p99] = [latencyQuantile(latencies, 0.5), latencyQuantile(latencies, 0.99)];
    return {
      from,
      to: names[j]!,
      sent: sent.frames,
      // What came twice came once too often; what is not the other guest's does not count at all.
      received: received.frames - received.foreign - received.duplicates - received.stale,
      drops,
      dropped: Object.values(drops).reduce((sum, count) => sum + count, 0),
      corrupt: received.corrupt,
      duplicates: received.duplicates + received.stale,
      reordered: received.reordered,
      sentPerSecond: rate(sent.frames, senderBefore.counters.sent.frames, sendSeconds),
      receivedPerSecond: rate(received.frames, receiverBefore.counters.received.frames, receiveSeconds),
      bitsPerSecond: 8 * rate(received.bytes, receiverBefore.counters.received.bytes, receiveSeconds),
      latencyUs: p50 === undefined || p99 === undefined ? undefined : { p50: p50 / 1000, p99: p99 / 1000 },
    };
  });
}

/** Frames from one port that another did not get: dropped at the sender's transmitqs or at the receiver's receiveqs. */
function dropsBetween(status: SwitchStatus, from: string, to: string): Record<string, number> {
  const drops: Record<string, number> = {};
  for (const { name, queues } of status.ports) {
    for (const queue of queues) {
      const concerned = queue.kind === "transmitq" ? name === from : name === to;
      if (!concerned) continue;
      for (const [cause, count] of Object.entries(queue.drops)) drops[cause] = (drops[cause] ?? 0) + count;
    }
  }
  return drops;
}

/** Frames that neither arrived nor were counted as dropped; below 0 when more arrived than were sent. */
export function uncounted({ sent, received, dropped }: DemoDirection): number {
  return sent - received - dropped;
}

/** Every frame arrived whole, once and in order, or was counted as dropped. */
export function isClean(list: readonly DemoDirection[]): boolean {
  return list.every(
    (each) => uncounted(each) === 0 && each.corrupt === 0 && each.duplicates === 0 && each.reordered === 0,
  );
}
