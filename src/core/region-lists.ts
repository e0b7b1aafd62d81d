// The lists in which the core looks a guest's addresses up (assembly/memory/regions.ts): two for each port, of what may be
// read and of what may be written, which are one and the same unless the guest has a virtual IOMMU; and the dirty log's.

import type { BridgePort, MappedRegion } from "./bridge-port.js";
import type { GracePeriods } from "./grace.js";
import * as layout from "./layout.js";
import type { PublishedLists } from "./published-lists.js";
import type { Views } from "./views.js";

/** In front of the regions: how many, and the list's number. */
const HEADER = 8;

export class RegionLists {
  /** Lists ever made: each of pieces that do not move has its number. */
  private count = 0;

  constructor(
    private readonly views: Views,
    private readonly lists: PublishedLists,
    private readonly grace: GracePeriods,
  ) {}

  /** A list of these regions, ascending by address. */
  of(regions: readonly MappedRegion[]): number {
    const { fields, size } = layout.Region;
    // Its number, by which queues know that it is the same one; none when pieces of it move.
    const whole = regions.every(({ chunks }) => chunks === undefined);
    const at = this.header(regions.length, whole);
    [...regions].sort(byAddress).forEach((region, i) => {
      const entry = at + HEADER + i * size;
      this.views.u64[(entry + fields.guestAddress.offset) >>> 3] = region.guestAddress;
      this.views.u64[(entry + fields.size.offset) >>> 3] = region.size;
      this.views.u32[(entry + fields.window.offset) >>> 2] = region.window;
      this.views.u32[(entry + fields.chunks.offset) >>> 2] = region.chunks ?? 0;
    });
    return at;
  }

  /**
   * Publishes what is known of the port's addresses. `added`: nothing has gone or moved since the last time. Else, when
   * this is done, no worker uses what is no longer listed.
   */
  async publish(port: BridgePort, change: "added" | "any" = "any"): Promise<void> {
    const { struct, translations, ownRegions } = port;
    const old = this.listsOf(port);
    const readable =
      translations !== undefined && ownRegions.length === 0
        ? this.ofWords(translations.readableWords)
        : this.of([...(translations?.readable ?? port.regions), ...ownRegions]);
    struct.publish("translated", Number(translations !== undefined));
    struct.publish("regions", readable);
    struct.publish("writable", translations === undefined ? readable : this.ofWords(translations.writableWords));
    if (change === "added") {
      this.lists.freeLater(old);
    } else {
      await this.grace.wait();
      for (const list of old) this.lists.free(list);
    }
  }

  /** The number of the list in which the port's queues look up what they read. */
  numberOf({ struct }: BridgePort): number {
    return this.views.u32[(struct.get("regions") + 4) >>> 2]!;
  }

  /** Frees the lists of a port that no worker knows any more. */
  free(port: BridgePort): void {
    for (const list of this.listsOf(port)) this.lists.free(list);
  }

  /** A list of what is known of I/O virtual addresses, which is all mapped whole. */
  private ofWords(words: BigUint64Array): number {
    const at = this.header(words.byteLength / layout.Region.size, true);
    this.views.u64.set(words, (at + HEADER) >>> 3);
    return at;
  }

  private header(count: number, whole: boolean): number {
    const at = this.lists.allocate(HEADER + count * layout.Region.size);
    this.views.u32[at >>> 2] = count;
    this.views.u32[(at + 4) >>> 2] = whole ? ++this.count : 0;
    return at;
  }

  private listsOf({ struct }: BridgePort): number[] {
    return [...new Set([struct.get("regions"), struct.get("writable")])];
  }
}

function byAddress(a: MappedRegion, b: MappedRegion): number {
  return a.guestAddress < b.guestAddress ? -1 : 1;
}
