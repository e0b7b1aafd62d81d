// Guests with NICs of all kinds, plugged into them while they run: a choice of the matrix's cells in which every two
// properties that can meet do so. `npm run test:matrix` runs them all.
import { afterAll, beforeAll, test } from "vitest";
import { describeNeeding } from "./lib/needs.js";
import { progress } from "./lib/process.js";
import { pairwise, title } from "./matrix/cells.js";
import { Bench } from "./matrix/run-cell.js";

describeNeeding(["switch", "qemu-10", "guest-tools"], "F31: guests with different devices", () => {
  let bench: Bench;

  beforeAll(async () => {
    bench = await Bench.start("d");
  });
  afterAll(async () => {
    await bench?.stop();
  });

  test.each(pairwise().map((cell) => [title(cell), cell] as const))("%s", async (what, cell) => {
    const { sentFrameBytes, receivedFrameBytes } = await bench.run(cell);
    progress(`${what}: mean frame ${sentFrameBytes} B sent, ${receivedFrameBytes} B received`);
  });
});
