// The kinds of values that a scenario's keys have, each with the sentence that says what was wrong, and what the guide
// says of a key (docs/SCENARIOS.md is made from it).

import { z } from "zod";
import { describeValue, didYouMean } from "../config/problems.js";

/** What the guide says of a key: its meaning with its unit, and what holds without it. */
export interface KeyNote {
  what: string;
  fallback: string;
}

export const NOTES = z.registry<KeyNote>();

/** An optional key with its line of the guide. */
export function key<T extends z.ZodType>(type: T, what: string, fallback = "") {
  const optional = type.optional();
  NOTES.add(optional, { what, fallback });
  return optional;
}

/** A key that must be there. */
export function needed<T extends z.ZodType>(type: T, what: string): T {
  NOTES.add(type, { what, fallback: "needed" });
  return type;
}

function checked<T>(is: (value: unknown) => boolean, wanted: string) {
  return z.custom<T>(is, { error: (issue) => `must be ${wanted}, not ${describeValue(issue.input)}` });
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

export function whole(least: number, most: number) {
  return checked<number>(
    (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
    `a whole number from ${least} to ${most}`,
  );
}

export function number(least: number, most: number) {
  return checked<number>((value) => isNumber(value) && value >= least && value <= most, `from ${least} to ${most}`);
}

/** A number, or two between which the seed chooses. */
export type Range = number | [least: number, most: number];

export function range(least: number, most: number) {
  const within = (value: unknown) => isNumber(value) && value >= least && value <= most;
  const pair = (value: unknown) =>
    Array.isArray(value) && value.length === 2 && value.every(within) && value[0] <= value[1];
  return checked<Range>(
    (value) => within(value) || pair(value),
    `from ${least} to ${most}, or [least, most] to have the seed choose`,
  );
}

export function yesOrNo() {
  return checked<boolean>((value) => typeof value === "boolean", "true or false");
}

export function text(what = "text") {
  return checked<string>((value) => typeof value === "string" && value.trim() !== "", what);
}

export function oneOf<const T extends string>(words: readonly T[]) {
  return z.custom<T>((value) => typeof value === "string" && (words as readonly string[]).includes(value), {
    error: ({ input }) => {
      const near = typeof input === "string" ? didYouMean(input, words) : "";
      return `must be one of ${words.join(", ")}, not ${describeValue(input)}${near}`;
    },
  });
}

/** One value or a list of them; the list is not empty. */
export function oneOrMore<T>(item: z.ZodType<T>, what: string) {
  const good = (value: unknown) => item.safeParse(value).success;
  return checked<T | T[]>(
    (value) => (Array.isArray(value) ? value.length > 0 && value.every(good) : good(value)),
    `${what}, or a list of them`,
  );
}

const NAME = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/;

/** A name of something in the file: what it names is looked up later. */
export function name() {
  return checked<string>(
    (value) => typeof value === "string" && NAME.test(value),
    "a name: a letter, then letters, digits, dots, dashes or underscores, 64 at most",
  );
}

export function isName(value: string): boolean {
  return NAME.test(value);
}
