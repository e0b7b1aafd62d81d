// Guests with NICs of all kinds, plugged into them while they run: a choice of the matrix's cells in which every two
// properties that can meet do so. `npm run test:matrix` runs them all.
import { afterAll, beforeAll, test } from "vitest";
import { describeNeeding } from "./lib/needs.js";
import { progress } from "./lib/process.js";
import { type Cell, cellWith, pairwise, title } from "./matrix/cells.js";
import { Bench } from "./matrix/run-cell.js";

/** Two guests with nothing in common. */
const strangers: [Cell, Cell][] = [
  [
    cellWith({ ring: "packed", pairs: 4 }),
    cellWith({ mrg: false, indirect: false, offloads: "none", device: "legacy" }),
  ],
  [
    cellWith({ mrg: false, eventIdx: false, device: "legacy" }),
    cellWith({ ring: "packed", indirect: false, pairs: 4, device: "modern" }),
  ],
  [cellWith({ ring: "packed", mrg: false }), cellWith({ ring: "split", offloads: "none", device: "modern" })],
];

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

  test.each(strangers.map(([one, two]) => [title(one), title(two), one, two] as const))(
    "%s with %s",
    async (_one, _two, one, two) => {
      await bench.run(one, two);
      await bench.run(two, one);
    },
  );
});
