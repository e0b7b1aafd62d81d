// Every frame of a lab from its sender's ring to its receivers' drivers: who sent it, when, and who has it.
// Frames are known by their bytes, so two frames of the same bytes are two of one kind, in the order of their times.

/** What a traffic source sent and what became of it (traffic.ts). */
export interface FlowCounts {
  sent: number;
  received: number;
  /** Milliseconds that each received frame was under way, in the order of arrival. */
  latencies: number[];
  /** Frames that came to a guest after one that was sent later. */
  reordered: number;
  /** For each guest the place among the flow's frames of the last one that it received. */
  latest: Map<string, number>;
}

/** Where a frame came from: nanosecond of the lab's clock, its flow and its place among the flow's frames. */
export interface Origin {
  at: number;
  flow: FlowCounts | undefined;
  place: number;
}

/** Frames of the same bytes. Nearly always it is one frame with one receiver, so the first of each stands apart. */
interface Kind extends Origin {
  again: Origin[] | undefined;
  /** How many of them each guest has received. */
  guest: string | undefined;
  count: number;
  others: Map<string, number> | undefined;
}

export class Ledger {
  private readonly kinds = new Map<number, Kind>();
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
    this.passedOn(frame, { at, flow, place: flow ? flow.sent++ : 0 });
  }

  /** The end of a link has put a frame into its ring which another lab's ledger knows already. */
  passedOn(frame: Uint8Array, { at, flow, place }: Origin): void {
    const key = keyOf(frame);
    const kind = this.kinds.get(key);
    if (!kind) {
      const nobody = { again: undefined, guest: undefined, count: 0, others: undefined };
      this.kinds.set(key, { at, flow, place, ...nobody });
    } else if (kind.again) kind.again.push({ at, flow, place });
    else kind.again = [{ at, flow, place }];
  }

  /**
   * A guest's driver has taken a frame. Returns where it came from; undefined when nobody sent it as it is. With `relay`
   * the guest is the end of a link: the frame is still under way.
   */
  received(frame: Uint8Array, guest: string, at: number, describe: () => string, relay = false): Origin | undefined {
    const kind = this.kinds.get(keyOf(frame));
    if (!kind) {
      if (this.offloaded === 0) note(this.foreign, `${guest} received what nobody sent: ${describe()}`);
      return undefined;
    }
    const number = countFor(kind, guest) - 1;
    const origin = number === 0 ? kind : kind.again?.[number - 1];
    if (!origin) {
      const sent = 1 + (kind.again?.length ?? 0);
      note(this.duplicates, `${guest} received ${number + 1} of ${sent} sent: ${describe()}`);
      return undefined;
    }
    if (origin.flow && !relay) arrived(origin.flow, guest, origin.place, (at - origin.at) / 1e6);
    return origin;
  }

  /** Frames that no guest has. */
  get unseen(): number {
    let unseen = 0;
    for (const { again, count, others } of this.kinds.values()) {
      const most = others ? Math.max(count, ...others.values()) : count;
      unseen += Math.max(0, 1 + (again?.length ?? 0) - most);
    }
    return unseen;
  }
}

function arrived(flow: FlowCounts, guest: string, place: number, latency: number): void {
  flow.received++;
  flow.latencies.push(latency);
  const latest = flow.latest.get(guest) ?? -1;
  if (place < latest) flow.reordered++;
  else flow.latest.set(guest, place);
}

/** One more of a kind for a guest: how many it has now. */
function countFor(kind: Kind, guest: string): number {
  if (kind.guest === undefined) kind.guest = guest;
  if (kind.guest === guest) return ++kind.count;
  kind.others ??= new Map();
  const count = (kind.others.get(guest) ?? 0) + 1;
  kind.others.set(guest, count);
  return count;
}

function note(list: string[], text: string): void {
  if (list.length < 8) list.push(text);
}

/** A hash of 53 bits of bytes and length (cyrb53): two of a million frames share one once in ten thousand runs. */
function keyOf(bytes: Uint8Array): number {
  let a = 0xdeadbeef ^ bytes.length;
  let b = 0x41c6ce57 ^ bytes.length;
  for (let i = 0; i < bytes.length; i++) {
    a = Math.imul(a ^ bytes[i]!, 2654435761);
    b = Math.imul(b ^ bytes[i]!, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}
