// `npm run test:openstack`: the scenarios of Tempest's smoke tests and their neighbours on real libvirt and QEMU. A word
// behind `--` chooses files: `npm run test:openstack -- smoke`. The report goes to results/, as Markdown and JUnit.
import { fileURLToPath } from "node:url";
import { mergeConfig } from "vitest/config";
import system from "../vitest.config.js";
import { FactsReporter } from "./reporter.js";

const folder = process.env.RINGBRIDGE_OPENSTACK_RESULTS ?? fileURLToPath(new URL("results", import.meta.url));
const config = mergeConfig(system, {});
export default {
  ...config,
  test: {
    ...config.test,
    include: ["test/system/openstack/*.test.ts"],
    reporters: ["verbose", ["junit", { outputFile: `${folder}/junit.xml` }], new FactsReporter(`${folder}/report.md`)],
  },
};
