// The whole matrix, for `npm run test:matrix`: 240 cells, each with what it showed, as a table in docs/. A cell
// that fails is a line of the table too, and the next one gets fresh guests.
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, test } from "vitest";
import { describeNeeding } from "../lib/needs.js";
import { progress } from "../lib/process.js";
import { product, title } from "./cells.js";
import { Bench, type CellResult } from "./run-cell.js";
import { type Row, table } from "./table.js";

const file =
  process.env.RINGBRIDGE_MATRIX_FILE ?? fileURLToPath(new URL("../../../docs/QEMU-MATRIX.md", import.meta.url));

describeNeeding(["switch", "qemu-10", "guest-tools"], "QEMU devices, every combination", () => {
  const rows: Row[] = [];
  const cells = product();
  let bench: Bench | undefined;

  beforeAll(async () => {
    bench = await Bench.start("m");
  });
  afterAll(async () => {
    await bench?.stop();
    // A choice of cells (vitest's -t) is no result to publish.
    if (rows.length < cells.length) return;
    writeFileSync(file, table(rows));
    progress(`the table is in ${file}`);
  });

  test.each(cells.map((cell, index) => [title(cell), cell, index] as const))("%s", async (what, cell, index) => {
    const from = performance.now();
    const done = (outcome: CellResult | Error) => {
      const seconds = (performance.now() - from) / 1000;
      rows.push({ cell, seconds, outcome });
      progress(
        `${index + 1}/${cells.length} ${what}: ${outcome instanceof Error ? "FAILED" : "ok"}, ${seconds.toFixed(1)} s`,
      );
    };
    try {
      bench ??= await Bench.start(`m${index}-`);
      done(await bench.run(cell));
    } catch (error) {
      done(error as Error);
      await bench?.stop();
      bench = undefined;
      throw error;
    }
  });
});
