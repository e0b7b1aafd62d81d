// All mutants of the core, in one process: `npm run test:mutants`. `-t` chooses some by their names.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["test/mutants/all.mutants.ts"], reporters: ["verbose"] },
});
