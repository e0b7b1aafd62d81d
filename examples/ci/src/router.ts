// The device under test of this example: a router with two ports, as small as one can be. It takes a packet that is
// addressed to it, lowers the time to live, mends the header's checksum and sends the packet on towards its destination.

/** What it needs of a network card. */
export interface Port {
  readonly mac: string;
  /** Told of each frame that arrives. */
  onFrame: ((frame: Uint8Array) => void) | undefined;
  /** False when there is no room in the ring. */
  send(frame: Uint8Array): boolean;
}

const ETHERTYPE_IPV4 = 0x0800;

export class Router {
  forwarded = 0;
  /** Packets that went nowhere, by cause. */
  readonly drops = { notIpv4: 0, expired: 0, noRoute: 0, noRoom: 0 };

  /** @param routes who is reached by which port: MAC address by IPv4 address */
  constructor(private readonly routes: ReadonlyMap<string, { port: Port; mac: string }>) {
    for (const port of new Set([...routes.values()].map((route) => route.port))) {
      port.onFrame = (frame) => this.take(frame);
    }
  }

  private take(received: Uint8Array): void {
    const view = new DataView(received.slice().buffer);
    if (view.byteLength < 34 || view.getUint16(12) !== ETHERTYPE_IPV4) return void this.drops.notIpv4++;
    const ttl = view.getUint8(22);
    if (ttl <= 1) return void this.drops.expired++;
    const route = this.routes.get([30, 31, 32, 33].map((at) => view.getUint8(at)).join("."));
    if (!route) return void this.drops.noRoute++;

    view.setUint8(22, ttl - 1);
    // RFC 1624: the checksum rises by what the word with the time to live fell.
    const sum = view.getUint16(24) + 0x0100;
    view.setUint16(24, (sum & 0xffff) + (sum >>> 16));
    for (const [at, mac] of [
      [0, route.mac],
      [6, route.port.mac],
    ] as const) {
      for (const [i, octet] of mac.split(":").entries()) view.setUint8(at + i, Number.parseInt(octet, 16));
    }
    if (route.port.send(new Uint8Array(view.buffer))) this.forwarded++;
    else this.drops.noRoom++;
  }
}
