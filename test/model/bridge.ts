// A learning bridge in plain TypeScript, as IEEE 802.1Q describes it, whose ports have receive buffers: what the core is
// compared with. No rings, no addresses in memory, no bursts: one frame after the other.

export interface ModelFrame {
  source: string;
  destination: string;
  bytes: Uint8Array;
}

/** A receive buffer by the bytes that fit in; `bad`: one that the device must refuse. */
export interface ModelBuffer {
  room: number;
  bad: boolean;
}

export class ModelPort {
  buffers: ModelBuffer[] = [];
  received: Uint8Array[] = [];
  running = true;
  mtu = 0;
  /** Its transmitq is enabled. */
  enabled = true;
  /** Drops of the receiveq and of the transmitq. */
  readonly drops: [Record<string, number>, Record<string, number>] = [{}, {}];

  constructor(
    readonly header: number,
    readonly mergeable: boolean,
  ) {}

  drop(queue: 0 | 1, cause: string): void {
    this.drops[queue][cause] = (this.drops[queue][cause] ?? 0) + 1;
  }

  /** A frame is delivered whole into the next buffers, or dropped for one cause. */
  deliver(bytes: Uint8Array): void {
    const cause = this.place(bytes);
    if (cause === undefined) this.received.push(bytes);
    else this.drop(0, cause);
  }

  /** Takes the buffers that the frame fills. Returns why it gets none. */
  private place(bytes: Uint8Array): string | undefined {
    const need = this.header + bytes.length;
    if (this.mtu > 0 && bytes.length - 14 > this.mtu) return "DROP_MTU";
    let room = 0;
    for (const [i, buffer] of this.buffers.entries()) {
      if (buffer.bad) {
        this.buffers.splice(0, i + 1);
        return "DROP_RX_CHAIN_BAD";
      }
      room += buffer.room;
      if (room >= need) {
        this.buffers.splice(0, i + 1);
        return undefined;
      }
      if (!this.mergeable) return "DROP_RX_BUFFER_TOO_SMALL";
    }
    return "DROP_NO_RX_BUFFER";
  }
}

export class ModelBridge {
  readonly ports: ModelPort[] = [];
  private readonly table = new Map<string, { port: number; seen: number }>();

  constructor(private readonly fdb: { ageingSeconds: number; limit: number; portLimit: number }) {}

  /** The frame comes in on `port` at second `now`. */
  send(port: number, frame: ModelFrame, now: number): void {
    const cause = this.forward(port, frame, now);
    if (cause !== undefined) this.ports[port]!.drop(1, cause);
  }

  /** Returns why the frame goes to no port. */
  private forward(port: number, { source, destination, bytes }: ModelFrame, now: number): string | undefined {
    if (!this.ports[port]!.enabled) return "DROP_DISABLED";
    if (isGroup(source) || source === "00:00:00:00:00:00") return "DROP_BAD_SOURCE";
    this.learn(port, source, now);
    if (destination.startsWith("01:80:c2:00:00:0")) return "DROP_RESERVED";
    const known = isGroup(destination) ? undefined : this.table.get(destination);
    if (known?.port === port) return "DROP_HAIRPIN";
    const others = this.ports.filter((to, i) => (known ? i === known.port : i !== port) && to.running);
    if (others.length === 0) return known ? "DROP_PORT_DOWN" : "DROP_NO_PORT";
    for (const to of others) to.deliver(bytes);
    return undefined;
  }

  private learn(port: number, source: string, now: number): void {
    const known = this.table.get(source);
    if (known?.port !== port) {
      const own = [...this.table.values()].filter((entry) => entry.port === port).length;
      if (own >= this.fdb.portLimit || (!known && this.table.size >= this.fdb.limit)) return;
    }
    this.table.set(source, { port, seen: now });
  }

  age(now: number): void {
    for (const [mac, { seen }] of this.table) if (now - seen > this.fdb.ageingSeconds) this.table.delete(mac);
  }

  flush(port: number): void {
    for (const [mac, entry] of this.table) if (entry.port === port) this.table.delete(mac);
  }

  addresses(): string[] {
    return [...this.table].map(([mac, { port, seen }]) => `${mac} ${port} ${seen}`).sort();
  }
}

/** Multicast and broadcast: the lowest bit of the first octet. */
function isGroup(address: string): boolean {
  return (Number.parseInt(address.slice(0, 2), 16) & 1) === 1;
}
