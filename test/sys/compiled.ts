// src/sys as JavaScript in a temporary folder, for tests that need it in another thread or process.

import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Compile src/sys into `folder`/sys, with the packages it needs in reach. Returns `folder`. */
export function compileSys(folder: string): string {
  const source = join(ROOT, "src", "sys");
  mkdirSync(join(folder, "sys"));
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const name of readdirSync(source)) {
    const { outputText } = ts.transpileModule(readFileSync(join(source, name), "utf8"), {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
    });
    writeFileSync(join(folder, "sys", name.replace(/\.ts$/, ".js")), outputText);
  }
  return folder;
}
