// What a case is, and what it may use while it runs: connections and guests that end with it.

import { setTimeout as sleep } from "node:timers/promises";
import { CheckGuest, type CheckGuestOptions, type Received } from "./guest.js";
import { difference, FRAME_MIN, frame, frameNumber, OPENING } from "./frames.js";
import type { Link } from "./link.js";
import type { Offer, Sockets } from "./target.js";
import { demand, Failure } from "./verdict.js";
import { within } from "./wait.js";

export type Room = "negotiation" | "messages" | "memory" | "rings" | "traffic" | "descriptors" | "lifecycle";

export interface CheckCase {
  /** Of the lists in docs/CONFORMANCE.md where it is there (F3, M21), with a letter where there are several. */
  id: string;
  room: Room;
  title: string;
  /** What the specification says and where, or which fault of others it comes from. */
  clause: string;
  /** Bits without which it has nothing to ask: virtio features, protocol features, number of queue pairs. */
  needs?: { features?: readonly number[]; protocol?: readonly number[]; pairs?: number };
  /** 2: it passes frames between two sockets. */
  sockets: 1 | 2;
  /**
   * Throws a Failure with what came instead of what was wanted, or a Skip. May return a sentence about what came, where
   * several outcomes are right. That the back-end still lives afterwards is the runner's to see.
   */
  run(bench: Workbench): Promise<string | undefined>;
}

const MIB = 1 << 20;
/** Of linear memory, for one guest. */
const GUEST_WINDOW = 16 * MIB;
const GUESTS_MAX = 8;
/** Of the linear memory that a workbench needs. */
export const MEMORY_PAGES = (GUESTS_MAX * GUEST_WINDOW) / 65_536;

/** Time in which what must not come would have come. */
const QUIET_MS = 60;
/** Between two frames that open a path. */
const OPENING_MS = 10;
/** A path may take longer to open than one answer: a data path thread has to hear of the rings. */
const OPENING_TIMEOUTS = 3;

export class Workbench {
  private readonly links: Link[] = [];
  private readonly guests: CheckGuest[] = [];
  private ended = false;

  /** @param memory linear memory of MEMORY_PAGES, used by one workbench at a time */
  constructor(
    private readonly memory: WebAssembly.Memory,
    readonly sockets: Sockets,
    readonly offer: Offer,
  ) {}

  get timeoutMs(): number {
    return this.sockets.timeoutMs;
  }

  /** A new connection to a port. */
  async link(port = 0): Promise<Link> {
    const link = await this.sockets.connect(port);
    this.links.push(link);
    if (this.ended) {
      await this.close();
      throw new Error("the case's time was over");
    }
    return link;
  }

  /** A guest on a new connection to a port; nothing is sent yet. */
  async guest(port = 0, options: CheckGuestOptions = {}): Promise<CheckGuest> {
    const window = this.guests.length * GUEST_WINDOW;
    if (window + GUEST_WINDOW > this.memory.buffer.byteLength)
      throw new Error(`a case has at most ${GUESTS_MAX} guests`);
    const guest = new CheckGuest(await this.link(port), port === 0 ? 1 : 2, this.memory, window, options);
    this.guests.push(guest);
    return guest;
  }

  /** A guest that has negotiated, and nothing more. */
  async negotiated(options: CheckGuestOptions = {}, port = 0): Promise<CheckGuest> {
    const guest = await this.guest(port, options);
    await guest.negotiate();
    return guest;
  }

  /** A guest whose rings run. */
  async started(port = 0, options: CheckGuestOptions = {}): Promise<CheckGuest> {
    const guest = await this.guest(port, options);
    await guest.start();
    return guest;
  }

  /** Two guests whose rings run, with an open path from the first to the second and back. */
  async pair(first: CheckGuestOptions = {}, second: CheckGuestOptions = first): Promise<[CheckGuest, CheckGuest]> {
    const b = await this.started(1, second);
    const a = await this.started(0, first);
    await this.open(b, a);
    await this.open(a, b);
    return [a, b];
  }

  /** Sends frames from one guest to another until one arrives. */
  async open(from: CheckGuest, to: CheckGuest): Promise<void> {
    const end = performance.now() + OPENING_TIMEOUTS * this.timeoutMs;
    for (;;) {
      from.send(frame(from.station, to.station, FRAME_MIN, OPENING));
      const arrived = await within(
        OPENING_MS,
        () => to.receiveAll().some((it) => frameNumber(it.frame) === OPENING) || undefined,
      );
      if (arrived) return;
      demand(
        performance.now() < end,
        `no frame came from socket ${from.station} to socket ${to.station} within ${(OPENING_TIMEOUTS * this.timeoutMs) / 1000} s`,
      );
    }
  }

  /** The next frame of ours that arrives, openings apart; undefined when none does in time. */
  async next(guest: CheckGuest, ms = this.timeoutMs, pair = 0): Promise<Received | undefined> {
    const [first] = await this.arrivals(guest, 1, ms, pair);
    return first;
  }

  /** Frames of ours that arrive, openings apart, until there are `count` or time is up. */
  async arrivals(guest: CheckGuest, count: number, ms = this.timeoutMs, pair = 0): Promise<Received[]> {
    const found: Received[] = [];
    await within(ms, () => {
      const numbers = (it: Received) => frameNumber(it.frame);
      found.push(...guest.receive(pair).filter((it) => numbers(it) !== undefined && numbers(it) !== OPENING));
      return found.length >= count || undefined;
    });
    return found;
  }

  /** Passes one frame, which has to arrive as it was sent. */
  async pass(
    from: CheckGuest,
    to: CheckGuest,
    bytes: Uint8Array,
    how: Parameters<CheckGuest["send"]>[1] = {},
  ): Promise<Received> {
    const sent = await within(this.timeoutMs, () => from.send(bytes, how) || undefined);
    demand(sent === true, "the sender's buffers did not come back");
    const received = await this.next(to);
    if (!received) throw new Failure(`a frame of ${bytes.length} bytes did not arrive`);
    const changed = difference(received.frame, bytes);
    demand(changed === undefined, `a frame of ${bytes.length} bytes was changed: ${changed}`);
    return received;
  }

  /** Passes frames one by one. */
  async passAll(
    from: CheckGuest,
    to: CheckGuest,
    lengths: readonly number[],
    how: Parameters<CheckGuest["send"]>[1] = {},
  ): Promise<void> {
    for (const [i, length] of lengths.entries()) {
      await this.pass(from, to, frame(from.station, to.station, length, i), how);
    }
  }

  /** Waits until `so`; a Failure with `what` when it never is. */
  async until(what: string, so: () => boolean): Promise<void> {
    demand((await within(this.timeoutMs, () => so() || undefined)) === true, what);
  }

  /** Long enough for what must not come. */
  quiet(): Promise<void> {
    return sleep(QUIET_MS);
  }

  /** The case is over, also for code of it that still waits for something: it gets no new connections. */
  async end(): Promise<void> {
    this.ended = true;
    await this.close();
  }

  /** Ends all connections, then what the guests had. */
  async close(): Promise<void> {
    for (const link of this.links.splice(0)) link.close();
    for (const guest of this.guests.splice(0)) guest.close();
  }
}
