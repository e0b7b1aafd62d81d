// `npm run test:mutants`: every mutant of the core is found within a minute of the processor's time. Prints who found it, and after how much.

import { afterAll, expect, test } from "vitest";
import { renderTable } from "../../src/cli/table.js";
import { type Catch, hunt } from "./hunt.js";
import { MUTANTS } from "./mutants.js";

const SECONDS = 60;
const caught = new Map<string, Catch>();

const titled = MUTANTS.map((mutant) => [`${mutant.name} (${mutant.rule})`, mutant] as const);

test.each(titled)("%s", { timeout: 20 * SECONDS * 1000 }, async (_, mutant) => {
  const found = await hunt(mutant, SECONDS);
  caught.set(mutant.name, found);
  expect(
    found.seen,
    `after ${found.operations} operations in ${found.seconds.toFixed(1)} s nothing was found`,
  ).toBeDefined();
});

afterAll(() => {
  const rows = MUTANTS.filter(({ name }) => caught.has(name)).map(({ name }) => {
    const { seen, operations, seconds } = caught.get(name)!;
    return [name, operations, seconds.toFixed(1), (seen ?? "SURVIVED").slice(0, 100)];
  });
  const columns = [
    { title: "mutant" },
    { title: "operations", align: "right" as const },
    { title: "seconds", align: "right" as const },
    { title: "what was seen" },
  ];
  process.stdout.write(`\n${renderTable(columns, rows)}\n`);
});
