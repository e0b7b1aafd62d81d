// Which translations a port asks its front-end for, and in what order: rings before everything, then what guests want to
// send, then receive buffers. Only a few questions are under way at a time, so that one that comes later and matters more
// does not wait behind hundreds; QEMU, which answers one in each round of its main loop, always finds another.

/** What a translation is needed for; what comes first is asked first. */
export const FOR_RING = 0;
export const FOR_SENDING = 1;
export const FOR_RECEIVING = 2;
export type Purpose = typeof FOR_RING | typeof FOR_SENDING | typeof FOR_RECEIVING;

const UNDER_WAY_MAX = 16;
/** After so long without an answer there is none, or the question was lost. */
const ANSWER_MS = 1000;
/** Questions that wait to be asked, of one purpose. What does not fit is missed again. */
const WAITING_MAX = 4096;
const PAGE = 4096n;

/** A page and the access: its address, IOTLB_READ and IOTLB_WRITE in the low bits. */
export type Question = bigint;

export function pageOf(question: Question): bigint {
  return question - (question % PAGE);
}

export function accessOf(question: Question): number {
  return Number(question % PAGE);
}

export class IotlbQuestions {
  private readonly waiting: readonly Set<Question>[] = [new Set(), new Set(), new Set()];
  /** The page of each, of which nothing else is asked meanwhile; and when it was asked, performance.now(). */
  private readonly underWay = new Map<bigint, { question: Question; asked: number }>();

  constructor(
    /** Sends a question; false: it can not be sent now. */
    private readonly send: (question: Question) => boolean,
    private readonly isAnswered: (question: Question) => boolean,
  ) {}

  /** Something is needed: it is asked for when its turn comes (`go`). */
  add(question: Question, purpose: Purpose): void {
    const waiting = this.waiting[purpose]!;
    if (waiting.size < WAITING_MAX) waiting.add(question);
  }

  /** Asks what may be asked now. */
  go(): void {
    for (const waiting of this.waiting) {
      for (const question of waiting) {
        if (this.underWay.size >= UNDER_WAY_MAX) return;
        const page = pageOf(question);
        const before = this.underWay.get(page)?.question;
        // A page may be needed twice, as parts of a ring are: the answer is often enough for both.
        if (before !== undefined && before !== question) continue;
        if (before === undefined && !this.isAnswered(question)) {
          if (!this.send(question)) return;
          this.underWay.set(page, { question, asked: performance.now() });
        }
        waiting.delete(question);
      }
    }
  }

  /** Translations have come. */
  answered(): void {
    for (const [page, { question }] of this.underWay) if (this.isAnswered(question)) this.underWay.delete(page);
    this.go();
  }

  /** The front-end has said that it has none, or that it has sent one. */
  done(question: Question): void {
    if (this.underWay.get(pageOf(question))?.question === question) this.underWay.delete(pageOf(question));
    this.go();
  }

  /** Now and then: questions without an answer may be asked once more. */
  expire(): void {
    const end = performance.now() - ANSWER_MS;
    for (const [page, { asked }] of this.underWay) if (asked < end) this.underWay.delete(page);
    this.go();
  }

  /** Nothing that waits is needed any more: whoever still needs it misses it again. What is under way will be answered. */
  forgetWaiting(): void {
    for (const waiting of this.waiting) waiting.clear();
  }

  /** There is nobody any more who would answer. */
  clear(): void {
    this.forgetWaiting();
    this.underWay.clear();
  }
}
