// The cases of test/vif/cases: what the real programs made of the same inputs.

import { readFileSync } from "node:fs";

// biome-ignore lint/suspicious/noExplicitAny: the files are what they are
export type Any = any;

export interface Case {
  name: string;
  input: Any;
  /** `error` is there when the real program refused. */
  output: Any;
}

export function cases(...files: string[]): Case[] {
  return files.flatMap((file) => {
    const text = readFileSync(new URL(`cases/${file}-cases.json`, import.meta.url), "utf8");
    return (JSON.parse(text) as { cases: Case[] }).cases;
  });
}

/** An argument without where on its bus libvirt has put the card. */
export function withoutPlace(argument: string): string {
  return argument.replace(/,"bus":"[^"]*"/, "").replace(/,"addr":"[^"]*"/, "");
}
