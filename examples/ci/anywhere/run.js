// node anywhere/run.js, bun anywhere/run.js, deno run --allow-read --allow-env anywhere/run.js

import process from "node:process";
import { scenarios } from "./scenarios.js";

for (const [name, scenario] of Object.entries(scenarios)) {
  try {
    await scenario();
    console.log(`ok   ${name}`);
  } catch (error) {
    console.log(`FAIL ${name}\n${error.message}`);
    process.exitCode = 1;
  }
}
