// Every frame of a lab from its sender's ring to its receivers' drivers: who sent it, when, and who has it.
// Frames are known by their bytes, so two frames of the same bytes are two of one kind, in the order of their times.

/** What a traffic source sent and what became of it (traffic.ts). */
export interface FlowCounts {
  sent: number;
  received: number;
  /** Milliseconds that each received frame was under way, in the order of arrival. */
  latencies: number[];
}

interface Kind {
  /** Nanosecond of the lab's clock at which each was sent, and the flow it belongs to. */
  times: number[];
  flows: (FlowCounts | undefined)[];
  /** How many of them each guest has received. */
  seen: Map<string, number>;
}

export class Ledger {
  private readonly kinds = new Map<string, Kind>();
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
    const key = keyOf(frame);
    let kind = this.kinds.get(key);
    if (!kind) {
      kind = { times: [], flows: [], seen: new Map() };
      this.kinds.set(key, kind);
    }
    kind.times.push(at);
    kind.flows.push(flow);
    if (flow) flow.sent++;
  }

  /** A guest's driver has taken a frame. Returns nanoseconds since it was sent; undefined when nobody sent it as it is. */
  received(frame: Uint8Array, guest: string, at: number, describe: () => string): number | undefined {
    const kind = this.kinds.get(keyOf(frame));
    if (!kind) {
      if (this.offloaded === 0) note(this.foreign, `${guest} received what nobody sent: ${describe()}`);
      return undefined;
    }
    const number = kind.seen.get(guest) ?? 0;
    kind.seen.set(guest, number + 1);
    if (number >= kind.times.length) {
      note(this.duplicates, `${guest} received ${number + 1} of ${kind.times.length} sent: ${describe()}`);
      return undefined;
    }
    const latency = at - kind.times[number]!;
    const flow = kind.flows[number];
    if (flow) {
      flow.received++;
      flow.latencies.push(latency / 1e6);
    }
    return latency;
  }

  /** Frames that no guest has. */
  get unseen(): number {
    let count = 0;
    for (const { times, seen } of this.kinds.values())
      count += Math.max(0, times.length - Math.max(0, ...seen.values()));
    return count;
  }
}

function note(list: string[], text: string): void {
  if (list.length < 8) list.push(text);
}

/** Length and a hash of 53 bits (cyrb53): two of a million frames share one once in ten thousand runs. */
function keyOf(bytes: Uint8Array): string {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < bytes.length; i++) {
    a = Math.imul(a ^ bytes[i]!, 2654435761);
    b = Math.imul(b ^ bytes[i]!, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return `${bytes.length}:${4294967296 * (2097151 & b) + (a >>> 0)}`;
}
