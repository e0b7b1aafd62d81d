// The core with a bug in it: compiled from its sources with one piece of text replaced.

import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** One piece of a source, which it has once, and what stands there instead. */
export interface Change {
  file: string;
  text: string;
  by: string;
}

/** The browser's build, not optimised. Throws when the text is not there once. */
export async function mutatedCore({ file, text, by }: Change): Promise<Uint8Array<ArrayBuffer>> {
  const broken = resolve(root, file);
  const parts = readFileSync(broken, "utf8").split(text);
  if (parts.length !== 2) throw new Error(`${file} has "${text}" ${parts.length - 1} times`);
  let wasm: Uint8Array<ArrayBuffer> | undefined;
  const { default: InlineTransform } = await import(resolve(root, "tools/inline-transform.mjs"));
  const words = ["assembly/index.ts", "--config", resolve(root, "asconfig.json"), "--target", "browser", "-O0"];
  // An empty table of functions is left out, with which there would be no traced build of it.
  words.push("--runPasses", "remove-unused-module-elements");
  const { error, stderr } = await asc.main([...words, "--baseDir", root, "--outFile", "core.wasm"], {
    transforms: [InlineTransform],
    readFile: (name: string, base: string) => {
      const path = resolve(base, name);
      if (path === broken) return parts.join(by);
      return existsSync(path) ? readFileSync(path, "utf8") : null;
    },
    writeFile: (_: string, contents: Uint8Array | string) => {
      if (typeof contents !== "string") wasm = new Uint8Array(contents);
    },
  });
  if (error || !wasm) throw new Error(`the core could not be built: ${error?.message} ${stderr}`);
  return wasm;
}
