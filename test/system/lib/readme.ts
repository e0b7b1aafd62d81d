// The snippets of README.md that a user copies to attach a guest, taken from the README itself: what the system tests
// run is what the README says, and a snippet that stops working fails a test.
import { readFileSync } from "node:fs";

const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");

/** The two pieces of the README's domain XML. */
export interface LibvirtSnippet {
  /** The memoryBacking element. */
  memory: string;
  /** The vhostuser interface, in mode client. */
  nic: string;
}

/** The first fenced block of this language after the words; throws when there is none. */
function block(after: string, language: string): string {
  const start = readme.indexOf(after);
  const fence = `\n\`\`\`${language}\n`;
  const from = readme.indexOf(fence, start) + fence.length;
  const to = readme.indexOf("\n```", from);
  if (start < 0 || from < fence.length || to < 0) throw new Error(`README.md has no ${language} block after ${after}`);
  return readme.slice(from, to);
}

/** The libvirt snippet; its two pieces are parted by a line of "…". */
export function libvirtSnippet(): LibvirtSnippet {
  const [memory, nic, ...more] = block("**libvirt**", "xml").split("\n…\n");
  if (memory === undefined || nic === undefined || more.length > 0) {
    throw new Error("README.md: the libvirt block is not memoryBacking, a line of …, and an interface");
  }
  return { memory, nic };
}

/** Replaces each key by its value; throws for a key that is not there: the snippet would be used as it is. */
export function fill(snippet: string, values: Readonly<Record<string, string>>): string {
  let filled = snippet;
  for (const [key, value] of Object.entries(values)) {
    if (!snippet.includes(key)) throw new Error(`README.md: "${key}" is not in the snippet:\n${snippet}`);
    filled = filled.replaceAll(key, value);
  }
  return filled;
}
