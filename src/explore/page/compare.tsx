// The same traffic on a split and on a packed ring, with the cache lines of the rings that were touched counted beside each.

import { useState } from "preact/hooks";
import { type Act, burst, perform, receive, reclaim, send } from "../lessons/act.js";
import { Machine, makeSetup } from "../machine/index.js";
import type { CoreFiles } from "./core-files.js";

const FRAMES = 8;
const one = send(0, 1, 26);
const rest: Act[] = [burst, reclaim(0), receive(1, true)];
const TRAFFIC = {
  "one by one": Array.from({ length: FRAMES }, () => [one, ...rest]).flat(),
  "all in one burst": [...Array.from({ length: FRAMES }, () => one), ...rest],
} as const;

interface Row {
  traffic: string;
  ring: "split" | "packed";
  lines: number;
  transfers: number;
}

export function Compare({ files }: { files: CoreFiles }) {
  const [rows, setRows] = useState<readonly Row[]>([]);
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    const found: Row[] = [];
    for (const [traffic, acts] of Object.entries(TRAFFIC)) {
      for (const ring of ["split", "packed"] as const) found.push(await count(files, traffic, ring, acts));
    }
    setRows(found);
    setBusy(false);
  };
  return (
    <section class="panel compare" aria-label="Split and packed compared">
      <p class="row">
        <button type="button" onClick={run} disabled={busy}>
          Run {FRAMES} frames on both forms of ring
        </button>
        <span class="note">A transfer: a cache line of 64 bytes goes from one processor to the other.</span>
      </p>
      {rows.length > 0 && <Result rows={rows} />}
    </section>
  );
}

function Result({ rows }: { rows: readonly Row[] }) {
  const most = Math.max(...rows.map(({ transfers }) => transfers));
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{FRAMES} frames</th>
          <th scope="col">ring</th>
          <th scope="col" class="number">
            lines touched
          </th>
          <th scope="col" class="number">
            transfers
          </th>
          <th scope="col" class="bars">
            <span class="visually-hidden">transfers as a bar</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ traffic, ring, lines, transfers }) => (
          <tr key={traffic + ring}>
            <th scope="row">{traffic}</th>
            <td>{ring}</td>
            <td class="number">{lines}</td>
            <td class="number">{transfers}</td>
            <td class="bars">
              <span class={`bar bar-${ring}`} style={{ width: `${Math.round((transfers / most) * 100)}%` }} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A machine of its own, after one round in which every line was touched for the first time. */
async function count({ build }: CoreFiles, traffic: string, ring: Row["ring"], acts: readonly Act[]): Promise<Row> {
  const guest = { ring, size: 16, rxBuffers: 16 };
  const machine = await Machine.create(makeSetup({ guests: [guest, guest], device: "polling" }), build);
  perform(machine, [one, ...rest]);
  const start = machine.position;
  perform(machine, acts);
  const { lines, transfers } = machine.cacheLines(start + 1).ring;
  return { traffic, ring, lines, transfers };
}
