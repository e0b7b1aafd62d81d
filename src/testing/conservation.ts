// No frame is lost that nobody counted: the books of a lab, and whether they balance.

import type { Lab } from "./lab.js";
import { type Verdict, verdict } from "./verdicts.js";

/** Where all frames of a lab are. */
export interface Account {
  /** Put into transmitqs; of these: still there, gone with a reset, taken by the switch. */
  sent: number;
  waiting: number;
  abandoned: number;
  taken: number;
  /** Put into receiveqs by the switch, floods once for each port; of these: still there, gone with a reset, taken. */
  delivered: number;
  unread: number;
  lostUnread: number;
  received: number;
  /** Counted by the switch under some cause. */
  dropped: number;
  /** What the switch's segmentation added: segments less the frames they were made of. */
  segments: number;
  /** Sent and in no guest's hands; unknown where offloads change frames. */
  unseen: number | undefined;
}

/** Where all frames of a lab are now. */
export function accountOf(lab: Lab): Account {
  const sum = (count: (guest: Lab["guests"][number]) => number) =>
    lab.guests.reduce((all, guest) => all + count(guest), 0);
  const sent = sum((guest) => guest.sent);
  const taken = sum((guest) => guest.counters.taken);
  const abandoned = sum((guest) => guest.abandoned);
  const delivered = sum((guest) => guest.counters.delivered);
  const received = sum((guest) => guest.receivedCount);
  const lostUnread = sum((guest) => guest.lostUnread);
  const segments = sum((guest) => {
    const made = [...guest.device.port.queues.values()].map((queue) => queue.softwareOffloads);
    return made.reduce((all, each) => all + each.segments - each.segmented, 0);
  });
  return {
    ...{ sent, taken, abandoned, waiting: sent - taken - abandoned },
    ...{ delivered, received, lostUnread, unread: delivered - received - lostUnread },
    dropped: Object.values(lab.drops()).reduce((all, count) => all + count, 0),
    segments,
    unseen: lab.ledger.offloaded > 0 ? undefined : lab.ledger.unseen + lab.ledger.offeredBad,
  };
}

/**
 * Each frame that was sent is in some guest's hands, in a ring, gone with a reset, or counted under a cause by the switch;
 * and no guest has one that was not sent, or more often than it was sent. In a lab at rest no frame waits in the rings of
 * a guest that is in order.
 */
export function conservesFrames(lab: Lab): Verdict {
  const account = accountOf(lab);
  const { taken, waiting, abandoned, delivered, unread, lostUnread, dropped, segments, unseen } = account;
  const problems = [...lab.ledger.foreign, ...lab.ledger.duplicates];
  const short = taken + segments - delivered - dropped;
  if (short > 0) problems.push(`${short} frames were taken from their senders, and neither delivered nor counted`);
  // A flood is delivered, or counted, once for each port.
  if (short < 0 && !lab.ledger.flooded)
    problems.push(`${-short} frames more were delivered or counted than were taken`);
  if (waiting < 0) problems.push(`${-waiting} frames more were taken than sent`);
  if (unread < 0) problems.push(`${-unread} frames more were received than delivered`);
  const known = dropped + waiting + abandoned + unread + lostUnread;
  if (unseen !== undefined && unseen > known)
    problems.push(`${unseen - known} frames are in nobody's hands, uncounted`);
  if (!lab.clock.busy) problems.push(...left(lab));
  const text = `frames of the lab ${problems.length === 0 ? "are all accounted for" : "are not conserved"}`;
  return verdict(lab, problems.length === 0, `${text}: ${JSON.stringify(account)}`, problems);
}

/** Frames that lie in rings although nothing is wrong with the guest. */
function left(lab: Lab): string[] {
  const problems: string[] = [];
  for (const guest of lab.guests) {
    const { stalled, withholding, losesKicks, losesCalls } = guest.trouble;
    if (!guest.connected || guest.fault || stalled || withholding || losesKicks || losesCalls) continue;
    const { taken, delivered } = guest.counters;
    const waiting = guest.sent - taken - guest.abandoned;
    const unread = delivered - guest.receivedCount - guest.lostUnread;
    if (waiting > 0) problems.push(`${waiting} frames of ${guest.name} wait for a switch that does not come`);
    if (unread > 0) problems.push(`${unread} frames for ${guest.name} wait for a driver that was not called`);
  }
  return problems;
}
