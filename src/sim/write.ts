// A scenario as the text of a file.

import { stringify } from "yaml";
import { plain } from "./shrink-cut.js";
import type { Scenario } from "./schema.js";

/** What `loadScenario` reads as this scenario. Empty parts are left out. */
export function scenarioText(scenario: Scenario): string {
  const parts = Object.entries(plain(scenario)).filter(([key, value]) => {
    return key === "guests" || typeof value !== "object" || Object.keys(value).length > 0;
  });
  return stringify(Object.fromEntries(parts), { lineWidth: 120 });
}
