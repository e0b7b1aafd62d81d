// The search for the highest rate at which no more than a given share of the frames is lost (NDR, PDR). Pure: it says
// what to offer next and is told what came of it.
//
// A rate has passed or failed when two windows agree: on a shared machine one may have been disturbed unseen. One that
// was seen to be disturbed, and lost frames, is taken again a few times before it counts. Each rate halves the interval
// between the highest that passed and the lowest that failed.

/** Windows that must agree. */
const VOTES = 2;
/** Disturbed windows at one rate that do not count. */
const EXCUSES = 4;
/** Rates below this share of the ceiling are not tried: then nothing passes. */
const FLOOR = 1 / 64;
/** A rate that was measured flat out may have been a little less than can be forwarded. */
const HEADROOM = 1.02;

export interface RateSearchOptions {
  /** Frames per second that arrive when all that is possible is offered. */
  ceiling: number;
  /** Share of the frames that may be lost: 0 for NDR, 0.005 for PDR. */
  lossMax: number;
  /** The search ends when the interval is this share of its upper end, or after so many rates. */
  width?: number;
  rates?: number;
}

export interface RateFound {
  /** Highest rate that passed, 0 if none; lowest that failed, if any. */
  passed: number;
  failed: number | undefined;
  /** Share that was lost at `passed`. */
  lossRatio: number;
  windows: number;
}

export class RateSearch {
  private readonly lossMax: number;
  private readonly width: number;
  private readonly floor: number;
  private ratesLeft: number;
  private passed = 0;
  private failed: number | undefined;
  private passedLoss = 0;
  private windows = 0;
  private rate: number;
  private votes = noVotes();

  constructor({ ceiling, lossMax, width = 0.015, rates = 12 }: RateSearchOptions) {
    if (!(ceiling > 0)) throw new RangeError(`a search needs a ceiling above 0, not ${ceiling}`);
    this.lossMax = lossMax;
    this.width = width;
    this.ratesLeft = rates;
    this.floor = ceiling * FLOOR;
    this.rate = ceiling * HEADROOM;
  }

  /** Frames per second to offer in the next window; undefined when the search has ended. */
  get next(): number | undefined {
    return this.ended ? undefined : this.rate;
  }

  /** What the window at `next` lost of what was due in it. Disturbed: it may have been the generator's fault. */
  add(offered: number, lost: number, disturbed = false): void {
    if (this.ended || offered === 0) return;
    const { votes } = this;
    this.windows++;
    const pass = lost <= this.lossMax * offered;
    if (!pass && disturbed && ++votes.excused <= EXCUSES) return;
    if (pass) {
      votes.pass++;
      votes.offered += offered;
      votes.lost += lost;
    } else {
      votes.fail++;
    }
    if (votes.pass < VOTES && votes.fail < VOTES) return;
    if (votes.pass === VOTES) {
      this.passed = this.rate;
      this.passedLoss = votes.lost / votes.offered;
    } else {
      this.failed = this.rate;
    }
    this.ratesLeft--;
    this.votes = noVotes();
    if (this.failed !== undefined) this.rate = (this.passed + this.failed) / 2;
  }

  get found(): RateFound {
    return { passed: this.passed, failed: this.failed, lossRatio: this.passedLoss, windows: this.windows };
  }

  private get ended(): boolean {
    // All that can be forwarded, and a bit more, has passed: there is no more to offer.
    if (this.failed === undefined) return this.passed > 0;
    const narrow = this.failed - this.passed <= this.width * this.failed;
    return narrow || this.ratesLeft <= 0 || this.failed < this.floor;
  }
}

function noVotes() {
  return { pass: 0, fail: 0, excused: 0, offered: 0, lost: 0 };
}
