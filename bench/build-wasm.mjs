// Compiles assembly/bench.ts, the core's parts in loops, just as the release core is compiled, into dist/bench/wasm:
//
//   parts.wasm    as it is
//   inline.wasm   with the core's own copy loop for every length, so that its cross-over to memory.copy can be seen

import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import asc from "assemblyscript/asc";
import InlineTransform from "../tools/inline-transform.mjs";

const COPY = "assembly/memory/copy.ts";
const LIMIT = /const INLINE_MAX: u32 = \d+;/;

export async function buildBenchModules() {
  mkdirSync("dist/bench/wasm", { recursive: true });
  await compile("parts", (text) => text);
  await compile("inline", (text, path) => {
    if (!path.endsWith(COPY)) return text;
    if (!LIMIT.test(text)) throw new Error(`${COPY} has no INLINE_MAX any more: bench/build-wasm.mjs must follow`);
    return text.replace(LIMIT, "const INLINE_MAX: u32 = u32.MAX_VALUE;");
  });
}

async function compile(name, change) {
  const words = ["assembly/bench.ts", "--config", "asconfig.json", "--target", "release"];
  const { error, stderr } = await asc.main([...words, "--outFile", `dist/bench/wasm/${name}.wasm`], {
    transforms: [InlineTransform],
    async readFile(file, base) {
      const path = resolve(base, file);
      const text = await readFile(path, "utf8").catch(() => null);
      return text === null ? null : change(text, path);
    },
  });
  if (error) throw new Error(`asc could not build ${name}: ${stderr} ${error.message}`);
}
