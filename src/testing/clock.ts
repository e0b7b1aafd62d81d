// The lab's time: a list of events, run one after the other in the order of their times. Nothing waits for a real clock.

/** Nanoseconds of a millisecond and of a second: the clock's unit is a whole nanosecond. */
export const MILLISECOND = 1_000_000;
export const SECOND = 1_000 * MILLISECOND;

/** What happens may take its time in promises; the clock stands meanwhile. */
type Action = () => void | Promise<void>;

interface Event {
  at: number;
  order: number;
  /** Whether `settle` waits for it. */
  work: boolean;
  action: Action;
}

/** Events that one `run` or `settle` may see at a single moment, and in all, before it is taken for a loop. */
const LOOP = 10_000_000;

/** The time of one or several labs: events one after the other; between two no time is waited for. */
export class VirtualClock {
  /** Nanoseconds since the clock was made. */
  now = 0;
  /** A heap: the event that comes next is the first. */
  private readonly heap: Event[] = [];
  private order = 0;
  private pendingWork = 0;
  private running = false;

  /** Runs `action` in `delay` nanoseconds; of two at one time the one that was asked for first. Work: frames on their way. */
  after(delay: number, action: Action, kind: "work" | "background" = "work"): void {
    const work = kind === "work";
    if (work) this.pendingWork++;
    this.push({ at: this.now + Math.max(0, Math.round(delay)), order: this.order++, work, action });
  }

  /** Lets `nanoseconds` pass. */
  async run(nanoseconds: number): Promise<void> {
    const end = this.now + Math.round(nanoseconds);
    await this.exclusive(async () => {
      while (this.heap.length > 0 && this.heap[0]!.at <= end) {
        const done = this.step();
        if (done) await done;
      }
      this.now = end;
    });
  }

  /** Lets time pass until no work is left. Throws when there is no end of it. */
  async settle(): Promise<void> {
    await this.exclusive(async () => {
      for (let events = 0; this.pendingWork > 0; events++) {
        if (events === LOOP) throw new Error("the lab never comes to rest: there is traffic without end, use run()");
        const done = this.step();
        if (done) await done;
      }
    });
  }

  /** True while frames, notifications or services are under way. */
  get busy(): boolean {
    return this.pendingWork > 0;
  }

  /** Returns what is to be waited for, if anything: most events take no promise, and there are millions of them. */
  private step(): Promise<void> | undefined {
    const event = this.pop();
    this.now = event.at;
    let done: void | Promise<void>;
    try {
      done = event.action();
    } catch (error) {
      this.over(event);
      throw error;
    }
    if (done) return done.finally(() => this.over(event));
    this.over(event);
    return undefined;
  }

  private over({ work }: Event): void {
    if (work) this.pendingWork--;
  }

  private async exclusive(body: () => Promise<void>): Promise<void> {
    if (this.running)
      throw new Error("the lab's clock runs already: await run() and settle(), and call neither in an event");
    this.running = true;
    try {
      await body();
    } finally {
      this.running = false;
    }
  }

  private push(event: Event): void {
    const { heap } = this;
    let i = heap.push(event) - 1;
    while (i > 0 && before(event, heap[(i - 1) >> 1]!)) {
      heap[i] = heap[(i - 1) >> 1]!;
      i = (i - 1) >> 1;
    }
    heap[i] = event;
  }

  private pop(): Event {
    const { heap } = this;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let i = 0;
    for (let child = 1; child < heap.length; child = 2 * i + 1) {
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
