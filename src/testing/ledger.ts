// Every frame of a lab from its sender's ring to its receivers' drivers: who sent it, when, and who has it.
// Frames are known by their bytes, so two frames of the same bytes are two of one kind, in the order of their times.

import { FrameTable } from "./frame-table.js";
import { describeFrame } from "./frames/describe.js";

/** What a traffic source sent and what became of it (traffic.ts). */
export interface FlowCounts {
  sent: number;
  received: number;
  /** Milliseconds that each received frame was under way, in the order of arrival. */
  latencies: number[];
  /** Frames that came to a guest after one that was sent later. */
  reordered: number;
  /** For each guest the place among the flow's frames of the last one that it received. */
  latest: Map<Receiver, number>;
}

/** A guest, as the ledger knows it. */
export interface Receiver {
  name: string;
  /** Which of the lab's guests it is, from 0 on. */
  number: number;
}

/** Where a frame came from: nanosecond of the lab's clock, its flow and its place among the flow's frames. */
export interface Origin {
  at: number;
  flow: FlowCounts | undefined;
  place: number;
}

/** What a row of the table has no column for: frames of the same bytes as an earlier one, and further receivers. */
interface More {
  again: Origin[];
  /** How many of them each other guest has received. */
  counts: Map<number, number>;
}

export class Ledger {
  private readonly table = new FrameTable();
  private readonly more = new Map<number, More>();
  private readonly flows: FlowCounts[] = [];
  private readonly flowNumbers = new Map<FlowCounts, number>();
  /** What no sender ever sent, what came to one guest more often than it was sent. First eight of each, as sentences. */
  readonly foreign: string[] = [];
  readonly duplicates: string[] = [];
  /** Frames sent that ask the switch for work: what arrives has other bytes, so only counters speak of them. */
  offloaded = 0;
  /** Chains that faults have put into transmitqs, with no frame in them. */
  offeredBad = 0;
  /** Set when a frame may have gone to more ports than one. */
  flooded = false;

  /** A frame is in its sender's ring. */
  sent(frame: Uint8Array, at: number, flow?: FlowCounts): void {
    this.put(frame, at, flow, flow ? flow.sent++ : 0);
  }

  /** The end of a link has put a frame into its ring which another lab's ledger knows already. */
  passedOn(frame: Uint8Array, { at, flow, place }: Origin): void {
    this.put(frame, at, flow, place);
  }

  private put(frame: Uint8Array, at: number, flow: FlowCounts | undefined, place: number): void {
    const row = this.table.find(frame);
    if (row < 0) this.table.add(at, this.numberOf(flow), place);
    else this.moreOf(row).again.push({ at, flow, place });
  }

  /**
   * A guest's driver has taken a frame. Returns where it came from; undefined when nobody sent it as it is. With `relay`
   * the guest is the end of a link: the frame is still under way.
   */
  received(frame: Uint8Array, guest: Receiver, at: number, relay = false): Origin | undefined {
    const row = this.table.find(frame);
    if (row < 0) {
      if (this.offloaded === 0)
        note(this.foreign, () => `${guest.name} received what nobody sent: ${describeFrame(frame)}`);
      return undefined;
    }
    const number = this.countFor(row, guest.number);
    const origin = this.originOf(row, number);
    if (!origin) {
      const sent = 1 + (this.more.get(row)?.again.length ?? 0);
      note(this.duplicates, () => `${guest.name} received ${number} of ${sent} sent: ${describeFrame(frame)}`);
      return undefined;
    }
    if (origin.flow && !relay) arrived(origin.flow, guest, origin.place, (at - origin.at) / 1e6);
    return origin;
  }

  /** Frames that no guest has. */
  get unseen(): number {
    const { count, rows } = this.table;
    let unseen = 0;
    for (let row = 0; row < rows; row++) if (count[row] === 0) unseen++;
    for (const [row, { again, counts }] of this.more) {
      // The first of them is in the sum above.
      const most = Math.max(count[row]!, ...counts.values());
      unseen += Math.max(0, 1 + again.length - most) - (count[row] === 0 ? 1 : 0);
    }
    return unseen;
  }

  /** The first, second, … frame of a row. */
  private originOf(row: number, number: number): Origin | undefined {
    if (number > 1) return this.more.get(row)?.again[number - 2];
    const { at, flow, place } = this.table;
    return { at: at[row]!, flow: this.flows[flow[row]!], place: place[row]! };
  }

  /** One more of a row for a guest: how many it has now. */
  private countFor(row: number, number: number): number {
    const { guest, count } = this.table;
    if (guest[row] === -1) guest[row] = number;
    if (guest[row] === number) return ++count[row]!;
    const { counts } = this.moreOf(row);
    const now = (counts.get(number) ?? 0) + 1;
    counts.set(number, now);
    return now;
  }

  private moreOf(row: number): More {
    let more = this.more.get(row);
    if (!more) {
      more = { again: [], counts: new Map() };
      this.more.set(row, more);
    }
    return more;
  }

  /** -1 for a frame of no flow. */
  private numberOf(flow: FlowCounts | undefined): number {
    if (flow === undefined) return -1;
    let number = this.flowNumbers.get(flow);
    if (number === undefined) {
      number = this.flows.push(flow) - 1;
      this.flowNumbers.set(flow, number);
    }
    return number;
  }
}

function arrived(flow: FlowCounts, guest: Receiver, place: number, latency: number): void {
  flow.received++;
  flow.latencies.push(latency);
  const latest = flow.latest.get(guest) ?? -1;
  if (place < latest) flow.reordered++;
  else flow.latest.set(guest, place);
}

function note(list: string[], text: () => string): void {
  if (list.length < 8) list.push(text());
}
