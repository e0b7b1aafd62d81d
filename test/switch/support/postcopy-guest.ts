// A guest that is being moved to the switch, and runs before its memory is there: a front-end that holds all of it back
// and brings a page when the switch waits for it, or when a test wants it to.

import { ftruncateSync, fstatSync } from "node:fs";
import { HUGE_PAGE } from "../../../src/guest/ram-file.js";
import { hostPageSize } from "../../../src/sys/mapping.js";
import { closeFd } from "../../../src/sys/memfd.js";
import type { Fd, MemoryRegion } from "../../../src/vhost-user/effects.js";
import { PROTOCOL_F_PAGEFAULT } from "../../../src/vhost-user/features.js";
import { QEMU_PROTOCOL_FEATURES } from "../../../src/vhost-user/front-end-session.js";
import { encodeMessage, MESSAGES, type MessageName } from "../../../src/vhost-user/message.js";
import { decodePayload, type Payload } from "../../../src/vhost-user/payload.js";
import { bringPages, nextFault } from "../../sys/page-server.js";
import { memTable, u64, vring, vringFd } from "../../vhost-user/requests.js";
import { HandGuest, type HandRing, MODERN } from "./hand-guest.js";
import { RawSocket } from "./raw-socket.js";

export const POSTCOPY_PROTOCOL = QEMU_PROTOCOL_FEATURES | (1n << BigInt(PROTOCOL_F_PAGEFAULT));
const PROTOCOL_FEATURES_BIT = 1n << 30n;
const LOOK_MS = 1;

export class PostcopyGuest {
  readonly hand: HandGuest;
  readonly page: number;
  /** Which pages (numbers within the region) are brought as soon as they are asked for. */
  brings: (page: number) => boolean = () => true;
  /** Pages that were asked for, in order. */
  readonly asked: number[] = [];
  private readonly source: Uint8Array;
  private readonly brought = new Set<number>();
  private socket!: RawSocket;
  private uffd: Fd | null = null;
  /** Where the switch has mapped the region. */
  private address = 0n;
  private timer: NodeJS.Timeout | undefined;

  constructor(hugePages = false) {
    this.hand = new HandGuest({ ram: { seals: false, hugePages } });
    this.page = hugePages ? HUGE_PAGE : hostPageSize();
    this.hand.fresh();
    const { guestAddress, size } = this.region;
    this.source = this.hand.bytes(guestAddress, Number(size)).slice();
    // None of it is here. From now on this process may not touch what it has not brought.
    ftruncateSync(this.fd, 0);
    ftruncateSync(this.fd, Number(size));
  }

  get region(): MemoryRegion {
    return this.hand.files[0]!.region;
  }

  /** Bytes of the memory that are there. */
  get presentBytes(): number {
    return fstatSync(this.fd).blocks * 512;
  }

  /** The page of a guest address. */
  pageOf(address: bigint): number {
    return (Number(address - this.region.guestAddress) / this.page) | 0;
  }

  /** Pages in which a ring lies. */
  pagesOf({ place }: HandRing): number[] {
    return [place.desc, place.avail, place.used].map((address) => this.pageOf(address));
  }

  /** Everything up to memory that the switch knows the pages of to come late. */
  async listen(path: string): Promise<void> {
    this.socket = new RawSocket(path);
    await this.say("SET_PROTOCOL_FEATURES", u64(POSTCOPY_PROTOCOL));
    await this.say("SET_FEATURES", u64(MODERN | PROTOCOL_FEATURES_BIT));
    const advice = await this.socket.ask("POSTCOPY_ADVISE");
    if (advice.fds.length !== 1) throw new Error("no userfaultfd came");
    this.uffd = advice.fds[0]!;
    if ((await this.number("POSTCOPY_LISTEN")) !== 0n) throw new Error("POSTCOPY_LISTEN was refused");
    const table = await this.give(this.region, this.fd);
    if (table.regions.length !== 1) throw new Error("the switch did not take the memory");
    this.address = table.regions[0]!.userAddress;
    this.timer = setInterval(() => this.look(), LOOK_MS);
    await this.say("SET_MEM_TABLE", memTable());
  }

  /** Gives a region; resolves to the switch's answer. */
  async give(region: MemoryRegion, fd: Fd): Promise<Extract<Payload, { kind: "memTable" }>> {
    await this.say("SET_MEM_TABLE", memTable(region), [fd]);
    const { payload } = await this.socket.reply();
    return decodePayload("memTable", payload) as Extract<Payload, { kind: "memTable" }>;
  }

  /** Describes the rings; does not wait until they run. */
  async describeRings(): Promise<void> {
    for (const ring of this.hand.rings) {
      await this.say("SET_VRING_NUM", vring(ring.index, ring.size));
      await this.say("SET_VRING_BASE", vring(ring.index, 0));
      await this.say("SET_VRING_ADDR", this.hand.vringAddr(ring));
      await this.say("SET_VRING_CALL", vringFd(ring.index), [ring.call]);
      await this.say("SET_VRING_KICK", vringFd(ring.index), [ring.kick]);
      await this.say("SET_VRING_ENABLE", vring(ring.index, 1));
    }
  }

  /** A request whose reply is a number. */
  async number(name: MessageName): Promise<bigint> {
    const { payload } = await this.socket.ask(name);
    return new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true);
  }

  /** Brings a page that is not there yet, waited for or not. */
  bring(page: number): void {
    if (this.brought.has(page)) return;
    this.brought.add(page);
    const at = page * this.page;
    bringPages(this.uffd!, this.address + BigInt(at), this.source.subarray(at, at + this.page));
  }

  /** Brings all that is still missing, as at the end of a migration. */
  bringAll(): void {
    for (let page = 0; page * this.page < this.source.length; page++) this.bring(page);
  }

  /** Dies, or leaves but for the userfaultfd. */
  leave(keeps?: "userfaultfd"): void {
    clearInterval(this.timer);
    this.socket?.close();
    if (keeps === undefined) this.closeUserfault();
  }

  close(): void {
    this.leave();
    this.hand.close();
  }

  private look(): void {
    for (;;) {
      const fault = nextFault(this.uffd!);
      if (fault === undefined) return;
      const page = Number(fault - this.address) / this.page;
      this.asked.push(page);
      if (this.brings(page)) this.bring(page);
    }
  }

  private get fd(): Fd {
    return this.hand.files[0]!.fd;
  }

  private closeUserfault(): void {
    if (this.uffd !== null) closeFd(this.uffd);
    this.uffd = null;
  }

  private say(name: MessageName, payload: Payload, fds: readonly Fd[] = []): Promise<void> {
    return this.socket.write(encodeMessage(MESSAGES[name].number, 0, payload), fds);
  }
}
