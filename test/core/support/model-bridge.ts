// A learning bridge in plain TypeScript, as IEEE 802.1Q describes it: what the core is compared with.

export interface Delivery {
  port: number;
  frame: number;
}

export class ModelBridge {
  private readonly table = new Map<string, { port: number; seen: number }>();
  private readonly running = new Set<number>();

  constructor(private readonly ageing: number) {}

  start(port: number): void {
    this.running.add(port);
  }

  /** The port takes no more frames; what was learned there stays. */
  stop(port: number): void {
    this.running.delete(port);
  }

  /** Frame number `frame` comes in on `port` at second `now`: to which ports does it go? */
  send(port: number, source: string, destination: string, frame: number, now: number): Delivery[] {
    if (isGroup(source)) return [];
    this.table.set(source, { port, seen: now });
    const known = isGroup(destination) ? undefined : this.table.get(destination);
    const out = known ? [known.port] : [...this.running];
    return out.filter((to) => to !== port && this.running.has(to)).map((to) => ({ port: to, frame }));
  }

  age(now: number): void {
    for (const [address, { seen }] of this.table) if (now - seen > this.ageing) this.table.delete(address);
  }

  flush(port: number): void {
    for (const [address, entry] of this.table) if (entry.port === port) this.table.delete(address);
  }

  addresses(): string[] {
    return [...this.table].map(([address, { port, seen }]) => `${address} ${port} ${seen}`).sort();
  }
}

/** Multicast and broadcast: the lowest bit of the first octet. */
function isGroup(address: string): boolean {
  return (Number.parseInt(address.slice(0, 2), 16) & 1) === 1;
}
