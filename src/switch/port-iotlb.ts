// A port behind a virtual IOMMU: the front-end's translations become the regions that the core looks addresses up in, and
// what the core lacks is asked for.

import type { Bridge } from "../core/bridge.js";
import type { BridgePort, MappedRegion } from "../core/bridge-port.js";
import type { Reactor } from "../sys/reactor.js";
import type { Fd, Translation } from "../vhost-user/effects.js";
import { IOTLB_READ, IOTLB_WRITE } from "../vhost-user/iotlb.js";
import { BackEndRequests } from "./back-end-requests.js";
import type { Mapping } from "./guest-memory.js";

/** The same page is not asked for again earlier than this: the answer may be on its way, or there is none. */
const ASK_AGAIN_MS = 1000;
/** Pages of which that is remembered. */
const ASKED_MAX = 4096;
const PAGE = 4096n;

export class PortIotlb {
  private requests: BackEndRequests | undefined;
  /** Pages with their access, and performance.now() when they were asked for. */
  private readonly asked = new Map<bigint, number>();
  /** What rings wait for that do not run yet: no worker asks for them. */
  private readonly awaited = new Set<bigint>();
  private saidRefused = false;

  constructor(
    private readonly bridge: Bridge,
    private readonly port: BridgePort,
    private readonly mappings: readonly Mapping[],
    private readonly reactor: Reactor,
    private readonly fail: (text: string) => void,
  ) {}

  /** Effect setFeatures: whether addresses are to be translated. */
  async setTranslated(on: boolean): Promise<void> {
    if (on === (this.port.translations !== undefined)) return;
    this.asked.clear();
    this.awaited.clear();
    await this.bridge.setTranslations(this.port, on ? { readable: [], writable: [] } : undefined);
  }

  /**
   * Effect setTranslations. Throws an Error, and leaves everything as it was, when an entry lies in memory that is not
   * mapped whole: its pieces move, so that no fixed place can be given for it.
   */
  async setTranslations(entries: readonly Translation[]): Promise<void> {
    if (entries.length === 0) {
      this.asked.clear();
      this.awaited.clear();
    }
    const readable = this.regionsOf(entries, IOTLB_READ);
    const writable = this.regionsOf(entries, IOTLB_WRITE);
    await this.bridge.setTranslations(this.port, { readable, writable });
    // What has been answered is asked for at once when it is missed again.
    for (const keys of [this.asked, this.awaited]) {
      for (const key of keys.keys()) {
        const page = key - (key % PAGE);
        const reads = (key & BigInt(IOTLB_READ)) !== 0n;
        const writes = (key & BigInt(IOTLB_WRITE)) !== 0n;
        if ((!reads || has(readable, page)) && (!writes || has(writable, page))) keys.delete(key);
      }
    }
  }

  /** Effect setBackendSocket. Throws an Error, and keeps the socket before, when the new one is none. */
  setSocket(fd: Fd | null, needReply: boolean): void {
    const onRefused = (iova: bigint) => this.refused(iova);
    const onLost = (reason: string) => this.fail(`the socket for our own requests cannot be used any more: ${reason}`);
    const { reactor } = this;
    const next = fd === null ? undefined : new BackEndRequests({ fd, needReply, reactor, onRefused, onLost });
    this.requests?.stop();
    this.requests = next;
    this.asked.clear();
    this.saidRefused = false;
  }

  /** Effect askTranslation: asks until there is an answer, or nothing is known any more. */
  askFor(iova: bigint, permission: number): void {
    const key = (iova - (iova % PAGE)) | BigInt(permission);
    this.awaited.add(key);
    this.ask(key);
  }

  /** Asks for a page, unless that was done a moment ago. `key`: its address, and the access in the low bits. */
  private ask(key: bigint): void {
    const [page, permission] = [key - (key % PAGE), Number(key % PAGE)];
    const now = performance.now();
    const last = this.asked.get(key);
    if (last !== undefined && now - last < ASK_AGAIN_MS) return;
    if (this.requests === undefined || !this.requests.askTranslation(page, permission)) return;
    this.asked.delete(key);
    this.asked.set(key, now);
    // A Map keeps the order in which keys were put in: the first is the oldest.
    if (this.asked.size > ASKED_MAX) this.asked.delete(this.asked.keys().next().value!);
  }

  /** Asks for what the workers have missed. */
  askForMisses(): void {
    for (const queue of this.port.queues.values()) {
      if (!queue.running) continue;
      for (const miss of queue.takeMisses()) this.ask(miss);
    }
  }

  /** Now and then: a question may have been lost, or not been sent. */
  tick(): void {
    if (this.port.translations === undefined) return;
    for (const key of this.awaited) this.ask(key);
    for (const queue of this.port.queues.values()) if (queue.running) this.bridge.askAgain(queue);
    this.askForMisses();
  }

  private refused(iova: bigint): void {
    if (this.saidRefused) return;
    this.saidRefused = true;
    this.fail(
      `the front-end has no translation for 0x${iova.toString(16)}, which the guest has given as a buffer or ring; ` +
        "what is there has to wait",
    );
  }

  private regionsOf(entries: readonly Translation[], permission: number): MappedRegion[] {
    const regions: MappedRegion[] = [];
    for (const entry of entries) {
      if ((entry.permission & permission) === 0) continue;
      const { iova, size } = entry;
      const window = this.windowOf(entry);
      const last = regions.at(-1);
      if (last !== undefined && last.guestAddress + last.size === iova && last.window + Number(last.size) === window) {
        last.size += size;
      } else {
        regions.push({ guestAddress: iova, size, window });
      }
    }
    return regions;
  }

  private windowOf({ iova, size, userAddress }: Translation): number {
    for (const mapping of this.mappings) {
      const start = userAddress - mapping.userAddress;
      if (start < 0n || start + size > mapping.size) continue;
      if (mapping.chunked === undefined) return mapping.window + Number(start);
      throw new Error(
        `the guest's memory at 0x${mapping.guestAddress.toString(16)} is too large to be mapped whole, which a guest ` +
          "behind a virtual IOMMU needs: give it less memory, or no iommu_platform=on",
      );
    }
    throw new Error(`the translation of 0x${iova.toString(16)} leads to memory that is not mapped`);
  }
}

/** Whether a list, ascending by address, has the address. */
function has(regions: readonly MappedRegion[], address: bigint): boolean {
  let [low, high] = [0, regions.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { guestAddress, size } = regions[middle]!;
    if (guestAddress + size > address) high = middle;
    else low = middle + 1;
  }
  const found = regions[low];
  return found !== undefined && found.guestAddress <= address;
}
