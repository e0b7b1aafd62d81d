// The example of README.md and docs/LAB.md, run as it stands there; and that the guide leaves no name out.

import { readFileSync } from "node:fs";
// example
import { expect, test } from "vitest";
import { constantRate, createLab, udp } from "../../src/testing/index.js";
import "../../src/testing/vitest.js";

test("a guest that loses its connection loses no frame uncounted", async () => {
  const lab = await createLab({ seed: 7 });
  const a = await lab.guest("a");
  const b = await lab.guest("b", { ring: "packed", size: 64, mergeable: true });
  a.send(udp({ from: a, to: b, payload: "hello" }));
  await lab.settle();
  expect(b).toHaveReceivedExactly([udp({ from: a, to: b, payload: "hello" })]);
  lab.inject({ kind: "disconnect", guest: "b", at: 5, for: 3 });
  const flow = lab.traffic(a, constantRate({ to: b, perSecond: 10_000, count: 100 }));
  await lab.run(20);
  expect(flow).toHaveLatencyAtMost(0.99, 0.01);
  expect(lab).toConserveFrames();
});
// end of the example

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

test.each(["README.md", "docs/LAB.md"])("%s shows the example above", (path) => {
  const own = readFileSync(new URL(import.meta.url), "utf8");
  const example = own
    .split("// example\n")[1]!
    .split("// end of the example")[0]!
    .replace("../../src/testing/index.js", "ringbridge/testing")
    .replace("../../src/testing/vitest.js", "ringbridge/testing/vitest");
  expect(read(path)).toContain(`\`\`\`ts\n${example}\`\`\``);
});

test("docs/LAB.md has every name that the entry point offers, values and types", async () => {
  const declared = read("src/testing/index.ts") + read("src/testing/frames/index.ts");
  const names = [...declared.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list]) => list!.split(","));
  const values = Object.keys(await import("../../src/testing/index.js"));
  const guide = read("docs/LAB.md");
  const wanted = new Set([...names.map((name) => name.replace("type ", "").trim()).filter(Boolean), ...values]);
  expect(wanted.size).toBeGreaterThan(50);
  expect([...wanted].filter((name) => !new RegExp(`\\b${name}\\b`).test(guide))).toEqual([]);
});
