// A guest behind a virtual IOMMU for tests of the core: what its port knows of I/O virtual addresses is what the test says.

import type { TestSwitch } from "./test-switch.js";
import { VIRTIO_F_VERSION_1 } from "../../../assembly/spec/virtio.js";
import { bits } from "../../../src/core/feature-bits.js";
import { TranslationLists } from "../../../src/core/translation-lists.js";
import { type GuestOptions, TestGuest } from "./bench-guest.js";

export const PAGE = 4096n;
export const [READ, WRITE] = [1, 2];
const MODERN = bits(VIRTIO_F_VERSION_1);
/** Pages of RAM behind the rings' own region; no two of them are side by side in linear memory. */
export const PAGES = 100;
const RINGS_BYTES = 64 * 1024;

/** A guest whose port knows of its memory only what it is told. */
export class IommuGuest {
  private readonly known = new Map<bigint, number>();

  private constructor(
    private readonly sw: TestSwitch,
    readonly guest: TestGuest,
  ) {}

  static async create(sw: TestSwitch, options: GuestOptions = {}): Promise<IommuGuest> {
    const regions = [RINGS_BYTES, ...Array.from({ length: PAGES }, () => Number(PAGE))];
    const guest = await TestGuest.create(sw, { size: 64, rxBuffers: 0, features: MODERN, ...options, regions });
    for (const index of [0, 1]) await sw.bridge.stopQueue(guest.port, index);
    await sw.bridge.setTranslations(guest.port, new TranslationLists());
    for (const index of [0, 1]) await guest.startQueue(index);
    // From here on each buffer begins in the next page.
    while (guest.allocate(16) < guest.base + BigInt(RINGS_BYTES) - 16n);
    return new IommuGuest(sw, guest);
  }

  /** Translates pages, or forgets them with permission 0. */
  async tell(pages: readonly bigint[], permission = READ | WRITE): Promise<void> {
    for (const page of pages) {
      if (permission === 0) this.known.delete(page);
      else this.known.set(page, permission);
    }
    const entries = [...this.known]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([guestAddress, permission]) => ({
        ...{ guestAddress, size: PAGE, permission },
        window: this.guest.memory.at(guestAddress),
      }));
    await this.sw.bridge.setTranslations(this.guest.port, TranslationLists.of(entries));
  }

  /** All bytes of the RAM behind the rings. */
  contents(): Buffer {
    const { regions } = this.guest.memory;
    const { bytes } = this.sw.bridge.views;
    return Buffer.concat(regions.slice(1).map(({ window, size }) => bytes.slice(window, window + Number(size))));
  }

  /** Pages that the core asks for, and the access. */
  asks(index: number): [bigint, number][] {
    return this.guest
      .queue(index)
      .takeMisses()
      .map((miss) => [miss - (miss % PAGE), Number(miss % PAGE)]);
  }

  /** Sends frames, each in pages of its own; these pages. */
  send(frames: readonly Uint8Array[], options: { pieces?: number[]; indirect?: boolean } = {}): bigint[] {
    return frames.map((bytes) => {
      const page = this.guest.allocate(0, Number(PAGE));
      this.guest.send(bytes, options);
      return page;
    });
  }

  /** Gives receive buffers, each a page of its own; these pages. */
  give(count: number, length = Number(PAGE)): bigint[] {
    return Array.from({ length: count }, () => {
      const page = this.guest.allocate(0, Number(PAGE));
      this.guest.giveBuffer(length);
      return page;
    });
  }
}
