// Every number the core can report has words, under the name it has in spec/status.ts.

import { describe, expect, it } from "vitest";
import * as numbers from "../../assembly/spec/status.js";
import { DROP_CAUSE_NAMES, DROP_CAUSE_TEXTS, dropCause, queueStatusText } from "../../src/core/causes.js";

const named = (prefix: string) => Object.entries(numbers).filter(([name]) => name.startsWith(prefix));

describe("drop causes", () => {
  const causes = named("DROP_").filter(([name]) => name !== "DROP_CAUSES");

  it("are numbered without gaps up to DROP_CAUSES", () => {
    expect(causes.map(([, value]) => value).sort((a, b) => a - b)).toEqual([...Array(numbers.DROP_CAUSES).keys()]);
    expect(DROP_CAUSE_NAMES).toHaveLength(numbers.DROP_CAUSES);
  });

  it.each(causes)("%s has a key, an explanation and a hint", (constant, value) => {
    const key = constant.slice("DROP_".length).toLowerCase().replaceAll("_", "-");
    expect(DROP_CAUSE_NAMES[value]).toBe(key);
    expect(DROP_CAUSE_TEXTS[value]?.explanation).toMatch(/^[A-Z].{20,}\.$/);
    expect(DROP_CAUSE_TEXTS[value]?.hint).toMatch(/^[A-Z].{20,}\.$/);
    expect(dropCause(key)).toBe(DROP_CAUSE_TEXTS[value]);
  });

  it("that are not known are undefined", () => {
    expect(dropCause("cosmic-rays")).toBeUndefined();
  });
});

describe("queue status", () => {
  it("has a sentence of its own for every number", () => {
    const texts = named("QUEUE_").map(([, value]) => queueStatusText(value));
    expect(new Set(texts).size).toBe(named("QUEUE_").length);
    for (const text of texts) expect(text).not.toContain("no words");
  });

  it("has a sentence for a number that is not known", () => {
    expect(queueStatusText(99)).toBe("the ring is broken in a way this version has no words for (status 99)");
  });
});
