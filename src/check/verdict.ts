// What a case can come to, and how the code of a case says so. A leaf.

/**
 * pass, fail: as the case says. not-offered: the back-end does not offer what it is about. crashed: the back-end did not
 * live on. skipped: it could not be tried, for the reason given.
 */
export type Verdict = "pass" | "fail" | "not-offered" | "crashed" | "skipped";

/** In the order in which they are counted and shown. */
export const VERDICTS: readonly Verdict[] = ["pass", "fail", "crashed", "not-offered", "skipped"];

/** The back-end did something else than the case wants of it; the message says what came. */
export class Failure extends Error {}

/** The back-end closed the connection. */
export class Gone extends Failure {}

/** The back-end says during the case that it does not offer what the case is about. */
export class NotOffered extends Error {}

/** The case needs something that this back-end, machine or command line does not have. */
export class Skip extends Error {}

/** Throws a Failure with these words unless `so`. */
export function demand(so: boolean, came: string): asserts so {
  if (!so) throw new Failure(came);
}
