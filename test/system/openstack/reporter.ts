// Writes the report of `npm run test:openstack`: each scenario, how it ended, and what was found out, as Markdown.
import { mkdirSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { dirname } from "node:path";
import type { Reporter, TestCase, TestModule } from "vitest/node";
import type {} from "./report.js";

export class FactsReporter implements Reporter {
  constructor(private readonly file: string) {}

  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    if (tests.length === 0) return;
    mkdirSync(dirname(this.file), { recursive: true });
    writeFileSync(this.file, page(tests));
    process.stderr.write(`\nreport: ${this.file}\n`);
  }
}

function page(tests: readonly TestCase[]): string {
  const count = (state: string) => tests.filter((test) => test.result().state === state).length;
  const on = `${new Date().toISOString().slice(0, 10)}, host kernel ${release()}, Node ${process.versions.node}`;
  const suites = new Map<string, TestCase[]>();
  for (const test of tests) {
    const name = test.fullName.split(" > ")[0]!;
    suites.set(name, [...(suites.get(name) ?? []), test]);
  }
  const parts = [...suites].map(([name, members]) => `## ${name}\n\n${members.map(entry).join("")}`);
  const sums = `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped.`;
  return `# npm run test:openstack\n\n${on}. ${sums}\n\n${parts.join("\n")}`;
}

function entry(test: TestCase): string {
  const { state, errors } = test.result();
  const seconds = ((test.diagnostic()?.duration ?? 0) / 1000).toFixed(1);
  const facts = (test.meta().facts ?? []).map(({ what, value }) => `  - ${what}: ${value}\n`);
  const reasons = (errors ?? []).map(({ message }) => `  - ${message.split("\n")[0]}\n`);
  return `- **${state}** ${test.name} (${seconds} s)\n${[...reasons, ...facts].join("")}`;
}
