// The snippets of docs/OPENSTACK.md that an operator copies, taken from the page itself.
import { readFileSync } from "node:fs";

const page = readFileSync(new URL("../../../docs/OPENSTACK.md", import.meta.url), "utf8");

/** The fenced block of this language that has the word; throws when there is none, or more than one. */
export function block(language: string, word: string): string {
  const blocks = page.split(`\n\`\`\`${language}\n`).slice(1);
  const found = blocks.map((text) => text.split("\n```")[0]!).filter((text) => text.includes(word));
  if (found.length !== 1) throw new Error(`docs/OPENSTACK.md: ${found.length} ${language} blocks have "${word}"`);
  return found[0]!;
}

/** libvirt's way past itself to QEMU, with this MTU. */
export function overrideSnippet(mtu: number): string {
  const snippet = block("xml", "qemu:override")
    .replace(/^<domain .*\n/, "")
    .replace(/\n<\/domain>$/, "")
    .replace("…\n", "");
  if (!snippet.includes("value='1450'")) throw new Error("docs/OPENSTACK.md: the override is not for an MTU of 1450");
  return snippet.replace("value='1450'", `value='${mtu}'`);
}
