// When the frames of a capture are due as they are sent again. A leaf.

/** As they came, so many times as fast; so many in a second; or as fast as they are taken. */
export type Pace = { kind: "recorded"; speed: number } | { kind: "rate"; perSecond: number } | { kind: "topspeed" };

export class Pacer {
  private sent = 0;
  private first: bigint | undefined;
  private start: number;

  /** `now` is when the first frame is due, in milliseconds of whatever clock. */
  constructor(
    private readonly pace: Pace,
    now: number,
  ) {
    this.start = now;
  }

  /** The next frame is due at this time; `time` is when it was captured, in nanoseconds. Never goes back. */
  due(time: bigint): number {
    const number = this.sent++;
    const { pace } = this;
    if (pace.kind === "topspeed") return this.start;
    if (pace.kind === "rate") return this.start + (number * 1000) / pace.perSecond;
    this.first ??= time;
    const after = time > this.first ? Number(time - this.first) / 1e6 : 0;
    return this.start + after / pace.speed;
  }

  /** The file begins anew, behind what was sent; the first frame of it is due at `now`. */
  again(now: number): void {
    this.first = undefined;
    if (this.pace.kind === "recorded") this.start = now;
  }
}
