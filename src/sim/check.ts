// From the plain value of a scenario's file to a scenario: the schema, then the rules that join several keys. Collects
// every problem; knows nothing of YAML or files.

import { z } from "zod";
import { describeValue, didYouMean, type Problem } from "../config/problems.js";
import { checkNames } from "./check-names.js";
import { type Scenario, ScenarioSchema } from "./schema.js";

export interface CheckedScenario {
  scenario?: Scenario;
  /** Each variant as a whole scenario, by name; empty when the file has none. */
  variants: Map<string, Scenario>;
  problems: Problem[];
}

/** What a variant may not change: it is one for all. */
const COMMON = ["about", "seed", "expect", "variants"];

/** Checks the plain value of a whole file. Never throws. */
export function checkScenario(value: unknown): CheckedScenario {
  if (!isMap(value)) {
    const text = `the file must be a map with keys such as "about" and "guests", not ${describeValue(value)}`;
    return { variants: new Map(), problems: [{ path: [], at: "value", text }] };
  }
  const base = parse(value);
  const problems = [...base.problems];
  const variants = new Map<string, Scenario>();
  for (const [name, change] of Object.entries(base.scenario?.variants ?? {})) {
    const at = ["variants", name];
    for (const key of COMMON.filter((each) => Object.hasOwn(change, each))) {
      problems.push({ path: [...at, key], at: "key", text: "is the same in all variants: put it outside of them" });
    }
    const { variants: _, ...rest } = value;
    const checked = parse(merge(rest, change) as Record<string, unknown>, base.scenario?.variants, name);
    // What is expected stands outside of the variants.
    const place = (path: string[]) => (path[0] === "expect" ? path : [...at, ...path]);
    problems.push(...checked.problems.map((problem) => ({ ...problem, path: place(problem.path) })));
    if (checked.scenario) variants.set(name, checked.scenario);
  }
  return problems.length > 0 ? { variants, problems } : { scenario: base.scenario, variants, problems };
}

function parse(value: Record<string, unknown>, variants?: Scenario["variants"], variant?: string) {
  const parsed = ScenarioSchema.safeParse(value);
  if (!parsed.success) return { problems: parsed.error.issues.flatMap(problemsOf) };
  const scenario = variants ? { ...parsed.data, variants } : parsed.data;
  return { scenario, problems: checkNames(scenario, variant) };
}

/** A change on top of a value: maps are joined key by key, everything else is replaced; null takes a key away. */
export function merge(value: unknown, change: unknown): unknown {
  if (!isMap(value) || !isMap(change)) return change;
  const whole = { ...value };
  for (const [key, part] of Object.entries(change)) {
    if (part === null) delete whole[key];
    else whole[key] = merge(value[key], part);
  }
  return whole;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function problemsOf(issue: z.core.$ZodIssue): Problem[] {
  const path = issue.path.map(String);
  const known = Object.keys(shapeAt(ScenarioSchema, path) ?? {});
  if (issue.code !== "unrecognized_keys") {
    const plain = issue.message.startsWith("Invalid input");
    return [{ path, at: "value", text: plain ? `must be a map of ${known.join(", ")}` : issue.message }];
  }
  return issue.keys.map((key) => ({
    path: [...path, key],
    at: "key",
    text: `unknown key${didYouMean(key, known) || `; the keys here are ${known.join(", ")}`}`,
  }));
}

/** The keys that may stand at a place of the file. */
function shapeAt(schema: z.ZodType, path: readonly string[]): Record<string, z.ZodType> | undefined {
  let at: unknown = schema;
  for (const segment of path) {
    at = unwrapped(at);
    if (at instanceof z.ZodObject) at = at.shape[segment];
    else if (at instanceof z.ZodRecord) at = at.valueType;
    else if (at instanceof z.ZodArray) at = at.element;
  }
  const last = unwrapped(at);
  return last instanceof z.ZodObject ? (last.shape as Record<string, z.ZodType>) : undefined;
}

function unwrapped(schema: unknown): unknown {
  return schema instanceof z.ZodOptional ? schema.unwrap() : schema;
}
