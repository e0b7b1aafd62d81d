// A timer whose work may take no more than a small share of its thread, however much there is to do: then it comes less often.

/** Of the main thread, which has sessions to serve, and may have to share its core with a worker. */
export const SHARE = 0.01;

const CALLS = 8;

/** Calls `work` again and again, between `start` and `stop`. */
export class Pace {
  private timer: NodeJS.Timeout | undefined;
  /** Milliseconds that the last calls took. */
  private readonly took: number[] = [];

  /** `everyMs` between two calls, or longer when one takes more than its share of that. */
  constructor(
    private readonly everyMs: number,
    private readonly work: () => void,
    private readonly share = SHARE,
  ) {}

  get isRunning(): boolean {
    return this.timer !== undefined;
  }

  start(): void {
    this.timer ??= setTimeout(() => this.run(), Math.max(this.everyMs, this.cost() / this.share));
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private run(): void {
    const began = performance.now();
    this.timer = undefined;
    // First: the work may find that nobody looks any more, and stop it.
    this.start();
    this.work();
    this.took.push(performance.now() - began);
    if (this.took.length > CALLS) this.took.shift();
  }

  /** The shortest is what the work takes; in a longer one the thread had to wait for its core. */
  private cost(): number {
    return this.took.length === 0 ? 0 : Math.min(...this.took);
  }
}
