// Lists that workers read: published with one store, never edited, and freed when no worker can hold them any more.

import type { ControlMemory } from "./control-memory.js";
import type { GracePeriods } from "./grace.js";
import type { Layout, Struct } from "./views.js";

export class PublishedLists {
  private readonly sizes = new Map<number, number>();
  /** Lists on their way out for which nobody waits, and who frees them. */
  private readonly retired: number[] = [];
  private retiring: Promise<void> | undefined;

  constructor(
    private readonly control: ControlMemory,
    private readonly grace: GracePeriods,
  ) {}

  /** Room for a list of so many bytes, zeroed. */
  allocate(bytes: number): number {
    const at = this.control.allocate(bytes);
    this.sizes.set(at, bytes);
    return at;
  }

  /** A list as most are: how many, then the 32-bit items. */
  of(items: readonly number[]): number {
    const at = this.allocate(4 + items.length * 4);
    this.control.views.u32.set([items.length, ...items], at >>> 2);
    return at;
  }

  /** Frees a list that no worker can hold. One that is none any more is a mistake of ours and throws. */
  free(at: number): void {
    const bytes = this.sizes.get(at);
    if (bytes === undefined) throw new Error(`there is no list at ${at}`);
    this.control.release(at, bytes);
    this.sizes.delete(at);
  }

  /** Frees lists that have just been replaced, when no worker can hold them any more. Nobody waits for it. */
  freeLater(lists: readonly number[]): void {
    this.retired.push(...lists);
    this.retiring ??= this.freeRetired();
  }

  /** Publishes a list in this field; when this is done no worker holds the one before, and it is freed. 0: no list. */
  async replace<L extends Layout>(
    struct: Struct<L>,
    field: keyof L["fields"] & string,
    list: number,
    published: () => void = () => {},
  ): Promise<void> {
    const old = struct.get(field);
    struct.publish(field, list);
    published();
    await this.grace.wait();
    if (old !== 0) this.free(old);
  }

  private async freeRetired(): Promise<void> {
    while (this.retired.length > 0) {
      const lists = this.retired.splice(0);
      await this.grace.wait();
      for (const list of lists) this.free(list);
    }
    this.retiring = undefined;
  }
}
