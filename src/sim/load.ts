// Reads a scenario's text.

import { ConfigError } from "../config/problems.js";
import { parseYaml } from "../config/yaml-file.js";
import { checkScenario } from "./check.js";
import type { Scenario } from "./schema.js";

/** A scenario that was checked, with its variants as whole scenarios. */
export interface LoadedScenario {
  scenario: Scenario;
  variants: ReadonlyMap<string, Scenario>;
}

/**
 * @param file the name that messages begin with
 * @throws ConfigError with a line for each problem: "file:line:column: key: what, and the fix"
 */
export function loadScenario(text: string, file: string): LoadedScenario {
  const yaml = parseYaml(text, file);
  if (yaml.lines.length > 0) throw new ConfigError(yaml.lines);
  const { scenario, variants, problems } = checkScenario(yaml.value);
  if (scenario === undefined) {
    const lines = problems.map(({ path, at, text: what }) => {
      return `${yaml.locate(path, at)}: ${[path.join("."), what].filter(Boolean).join(": ")}`;
    });
    throw new ConfigError([...new Set(lines)]);
  }
  return { scenario, variants };
}
