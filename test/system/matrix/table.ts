// The matrix's result as a page: what ran, on what, one line a cell.
import { release } from "node:os";
import { anyQemu, kernel } from "../lib/needs.js";
import type { Cell } from "./cells.js";
import type { CellResult } from "./run-cell.js";

export interface Row {
  cell: Cell;
  seconds: number;
  outcome: CellResult | Error;
}

/** The page, in Markdown. */
export function table(rows: readonly Row[]): string {
  const failed = rows.filter(({ outcome }) => outcome instanceof Error);
  const yes = (value: boolean) => (value ? "yes" : "no");
  const lines = rows.map(({ cell, outcome }) => {
    const shown =
      outcome instanceof Error
        ? ["–", "–", "–", "–", `**failed**: ${firstLine(outcome)}`]
        : [outcome.sentFrameBytes, outcome.receivedFrameBytes, outcome.cutFrames, outcome.lateFrames, "passed"];
    const properties = [cell.ring, yes(cell.mrg), yes(cell.indirect), yes(cell.eventIdx)];
    return `| ${[...properties, cell.pairs, cell.offloads, cell.device, ...shown].join(" | ")} |`;
  });
  return `# QEMU devices

Written by \`npm run test:matrix\` on ${new Date().toISOString().slice(0, 10)}: QEMU ${anyQemu}, guests with the kernel of
\`${kernel?.image.split("/").pop()}\`, host kernel ${release()}, Node ${process.versions.node}. ${rows.length} cells, ${failed.length} failed.

Two guests get a NIC of these properties each while they run. The guest's driver must have accepted exactly the features
of the cell; then 10 pings, 5 pings of 6000 bytes in fragments, and TCP both ways with equal SHA-256 sums. No ring may
break, and no frame be dropped but for want of a buffer in a guest that is slower than the other (*late*). *mixed* is a
first guest with checksum and segmentation offloads and a second without. *sent* and *received* are mean bytes of a
frame of the first guest's stream: as sent, and as the second guest got it; *cut* is how many of them the switch had to
cut into segments.

| ring | mergeable | indirect | event idx | queue pairs | offloads | device | sent | received | cut | late | |
|---|---|---|---|---|---|---|---|---|---|---|---|
${lines.join("\n")}
`;
}

function firstLine(error: Error): string {
  return error.message.split("\n")[0]!.replaceAll("|", "\\|");
}
