// How a run that failed is made again: from the seed in the environment, or by the command that a test runner's plug-in
// knows.

/** The environment variable that chooses the seed of labs that are given none. */
export const SEED_VARIABLE = "RINGBRIDGE_SEED";

let command: ((seed: number) => string | undefined) | undefined;

/** For a test runner: how the test that runs now is run alone with a seed. */
export function setReplayCommand(make: (seed: number) => string | undefined): void {
  command = make;
}

/** ", or: …" with the command, when there is one. */
export function replayCommand(seed: number): string {
  const text = command?.(seed);
  return text === undefined ? "" : `\n    or: ${text}`;
}

/** The seed of the environment; undefined where there is none, and in a page. Throws when it is no number. */
export function seedFromEnvironment(): number | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  const text = process?.env?.[SEED_VARIABLE];
  if (text === undefined || text === "") return undefined;
  if (!/^\d{1,10}$/.test(text)) throw new Error(`${SEED_VARIABLE} is "${text}", not a number`);
  return Number(text);
}
