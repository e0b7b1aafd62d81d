// The parts on an engine with a console: Node, Bun, Deno.

import { run } from "./engines.mjs";

/** Each part gives a short text for the table, or throws. `words`: what the engine wants before the program's name. */
export function consoleParts({ path, words = [] }, project) {
  const program = async (...rest) => {
    const { status, output, errors } = await run(path, [...words, ...rest], {
      cwd: project,
      env: { ENGINE_PATH: path, SEEDS: "5" },
    });
    if (status !== 0) throw new Error(`${rest.join(" ")} ended with ${status}:\n${output}${errors}`);
    return output;
  };
  return {
    async example() {
      const output = await program("node_modules/vitest/vitest.mjs", "run");
      const passed = output.match(/Tests\s+(\d+) passed \(\d+\)/);
      if (!passed) throw new Error(`vitest did not say how many tests passed:\n${output}`);
      return `${passed[1]} tests`;
    },
    async anywhere() {
      const output = await program("anywhere/run.js");
      return `${output.match(/^ok /gm).length} scenarios`;
    },
    async hashes() {
      return JSON.parse(await program("engines/hashes-run.js"));
    },
    async scenarios() {
      return JSON.parse(await program("engines/scenarios-run.js"));
    },
  };
}
