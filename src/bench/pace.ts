// When each frame of a paced window is due. Open-loop: the clock alone decides; what could not be sent in time is sent
// later with the stamp of the time it was due at, so that a delay of the back-end is never left out of the latency.

/** The schedule of one of several queues that share a rate: its frames come in turn with those of the others. */
export class Pace {
  /** Nanoseconds between two frames of this queue. */
  readonly intervalNs: number;
  /** Frames due by the end. */
  readonly total: number;
  private readonly firstNs: number;
  sent = 0;

  /**
   * @param framesPerSecond of all queues together
   * @param ns length of the window
   */
  constructor(framesPerSecond: number, ns: number, queue = 0, queues = 1) {
    const step = 1e9 / framesPerSecond;
    this.intervalNs = step * queues;
    this.firstNs = step * queue;
    this.total = Math.max(0, Math.ceil((ns - this.firstNs) / this.intervalNs));
  }

  /** Frames that should have been sent `elapsedNs` after the start, and were not. */
  due(elapsedNs: number): number {
    const count = Math.floor((elapsedNs - this.firstNs) / this.intervalNs) + 1;
    return Math.min(count, this.total) - this.sent;
  }

  /** When the next frame is due, in nanoseconds from the start. */
  get nextNs(): number {
    return this.firstNs + this.sent * this.intervalNs;
  }
}
