// What the scenarios found out beside that they passed: figures and facts, which vitest carries to reporter.ts.
import type { TestContext } from "vitest";

export interface Fact {
  what: string;
  value: string;
}

declare module "vitest" {
  interface TaskMeta {
    facts?: Fact[];
  }
}

/** Puts a fact into the report, and shows it at once. */
export function record({ task }: TestContext, what: string, value: string): void {
  task.meta.facts = [...(task.meta.facts ?? []), { what, value }];
  process.stderr.write(`  · ${what}: ${value}\n`);
}

/** Milliseconds as they are reported. */
export function milliseconds(from: number): string {
  return `${Math.round(performance.now() - from)} ms`;
}
