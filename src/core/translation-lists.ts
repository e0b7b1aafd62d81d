// What is known of a port's I/O virtual addresses, as the two region lists that the core looks addresses up in: of what
// may be read, and of what may be written. They are kept as words, so that a change of one among thousands is a move of
// memory and makes no object.

import type { MappedRegion } from "./bridge-port.js";
import { Region } from "./layout.js";

/** vhost_iotlb_msg `perm`. */
const READ = 1;
const WRITE = 2;
const WORDS = Region.size / 8;
const ADDRESS = Region.fields.guestAddress.offset / 8;
const SIZE = Region.fields.size.offset / 8;
/** The window fills the lower half of this word; the upper one, `chunks`, stays 0. */
const WINDOW = Region.fields.window.offset / 8;

/** A translated range, mapped whole. */
export interface TranslatedRegion extends MappedRegion {
  /** Bit 0: may be read, bit 1: written. */
  permission: number;
}

/** Translations of a port, ascending by address. An entry stands in both lists; what is not allowed has no size there. */
export class TranslationLists {
  #count = 0;
  #readable = new BigUint64Array(0);
  #writable = new BigUint64Array(0);

  /** A list of these entries. */
  static of(entries: readonly TranslatedRegion[]): TranslationLists {
    const lists = new TranslationLists();
    lists.splice(0, 0, entries);
    return lists;
  }

  get count(): number {
    return this.#count;
  }

  /** Puts entries into the place of `removed` others, from entry `at` on. */
  splice(at: number, removed: number, added: readonly TranslatedRegion[]): void {
    const count = this.#count - removed + added.length;
    this.#readable = this.#spliced(this.#readable, at, removed, added, count, READ);
    this.#writable = this.#spliced(this.#writable, at, removed, added, count, WRITE);
    this.#count = count;
  }

  /** The words of a list's regions, as the core has them. */
  get readableWords(): BigUint64Array {
    return this.#readable.subarray(0, this.#count * WORDS);
  }

  get writableWords(): BigUint64Array {
    return this.#writable.subarray(0, this.#count * WORDS);
  }

  get readable(): MappedRegion[] {
    return this.#regions(this.#readable);
  }

  get writable(): MappedRegion[] {
    return this.#regions(this.#writable);
  }

  #spliced(
    words: BigUint64Array<ArrayBuffer>,
    at: number,
    removed: number,
    added: readonly TranslatedRegion[],
    count: number,
    permission: number,
  ): BigUint64Array<ArrayBuffer> {
    let into = words;
    if (count * WORDS > words.length) {
      into = new BigUint64Array(2 * count * WORDS);
      into.set(words.subarray(0, this.#count * WORDS));
    }
    into.copyWithin((at + added.length) * WORDS, (at + removed) * WORDS, this.#count * WORDS);
    added.forEach((region, i) => {
      const entry = (at + i) * WORDS;
      into[entry + ADDRESS] = region.guestAddress;
      into[entry + SIZE] = (region.permission & permission) === 0 ? 0n : region.size;
      into[entry + WINDOW] = BigInt(region.window);
    });
    return into;
  }

  #regions(words: BigUint64Array): MappedRegion[] {
    const regions: MappedRegion[] = [];
    for (let entry = 0; entry < this.#count * WORDS; entry += WORDS) {
      const [guestAddress, size] = [words[entry + ADDRESS]!, words[entry + SIZE]!];
      if (size > 0n) regions.push({ guestAddress, size, window: Number(words[entry + WINDOW]) });
    }
    return regions;
  }
}
