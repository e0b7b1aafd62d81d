// The lists by which workers find virtqueues: the transmitqs that each of them polls, a port's receiveqs, the ports that
// take floods, and the receiveqs with backlogs.

import type { BridgePort } from "./bridge-port.js";
import type { GracePeriods } from "./grace.js";
import type * as layout from "./layout.js";
import type { PublishedLists } from "./published-lists.js";
import type { Struct } from "./views.js";

export class QueueLists {
  /** Queue structs on the workers' lists of backlogs. */
  private backlogged: number[] = [];

  constructor(
    private readonly core: Struct<typeof layout.Core>,
    private readonly workers: readonly Struct<typeof layout.Worker>[],
    private readonly ports: ReadonlyMap<number, BridgePort>,
    private readonly lists: PublishedLists,
    private readonly grace: GracePeriods,
  ) {}

  /** The transmitqs that a worker polls. `published`: they are, and it may sleep. When done it polls no other. */
  async publishTransmitqs(worker: number, published: () => void): Promise<void> {
    const queues = this.allQueues().filter((queue) => queue.running && !queue.isReceiveq && queue.worker === worker);
    const list = this.lists.of(queues.map(({ struct }) => struct.at));
    await this.lists.replace(this.workers[worker]!, "transmitqs", list, published);
  }

  /**
   * Where frames may be delivered on this port, and the ports that take floods. With several workers the queues are
   * locked during the change; they are not, afterwards, when there are enough for each worker to have its own.
   */
  publishReceiveqs(port: BridgePort): Promise<void> {
    // The operator and the front-end may change the same port: one after the other.
    port.publishing = port.publishing.then(() => this.publishReceiveqsNow(port));
    return port.publishing;
  }

  private async publishReceiveqsNow(port: BridgePort): Promise<void> {
    const several = this.workers.length > 1;
    if (several) {
      for (const queue of port.queues.values()) if (queue.isReceiveq) queue.struct.publish("shared", 1);
      await this.grace.wait();
    }
    const taking = [...port.queues.values()]
      .filter((queue) => port.adminUp && queue.takesFrames)
      .sort((a, b) => a.index - b.index);
    const receiveqs = this.lists.of(taking.map(({ struct }) => struct.at));
    await this.lists.replace(port.struct, "receiveqs", receiveqs);
    if (several && taking.length >= this.workers.length) {
      // What waits in a backlog may be taken to its ring by any of them.
      for (const queue of taking) if (queue.backlog === undefined) queue.struct.publish("shared", 0);
    }
    const flooded = [...this.ports.values()].filter(
      ({ adminUp, queues }) => adminUp && [...queues.values()].some((queue) => queue.takesFrames),
    );
    await this.lists.replace(this.core, "floodList", this.lists.of(flooded.map(({ struct }) => struct.at)));
    await this.publishBacklogs();
  }

  /** The receiveqs with backlogs, the same for all workers, if they are others than before. */
  private async publishBacklogs(): Promise<void> {
    // Disabled ones too: the workers drop what waits there.
    const holding = this.allQueues().filter(
      ({ running, paused, backlog }) => backlog !== undefined && (running || paused),
    );
    const pointers = holding.map(({ struct }) => struct.at);
    if (pointers.join() === this.backlogged.join()) return;
    this.backlogged = pointers;
    const old = this.workers[0]!.get("backlogs");
    const list = pointers.length > 0 ? this.lists.of(pointers) : 0;
    for (const worker of this.workers) worker.publish("backlogs", list);
    await this.grace.wait();
    if (old !== 0) this.lists.free(old);
  }

  private allQueues() {
    return [...this.ports.values()].flatMap(({ queues }) => [...queues.values()]);
  }
}
