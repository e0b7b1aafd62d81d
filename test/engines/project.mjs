// The project that every engine runs: examples/ci as a user has it, with the packed package from a tarball, and the
// programs of test/engines/project and examples/scenarios beside it.

import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./engines.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Its folder, and what removes it. Throws when it cannot be packed or installed. */
export async function makeProject() {
  const folder = mkdtempSync(join(tmpdir(), "ringbridge-engines-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const tarball = (await npm(root, "pack", "--silent", "--pack-destination", folder)).trim().split("\n").at(-1);
    const project = join(folder, "project");
    cpSync(join(root, "examples/ci"), project, {
      recursive: true,
      filter: (path) => !path.includes("node_modules"),
    });
    cpSync(join(root, "test/engines/project"), join(project, "engines"), { recursive: true });
    const scenarios = join(project, "scenarios");
    cpSync(join(root, "examples/scenarios"), scenarios, { recursive: true });
    // A page cannot look into a folder.
    writeFileSync(join(scenarios, "list.json"), JSON.stringify(readdirSync(scenarios)));
    await npm(project, "install", "--no-audit", "--no-fund", "--loglevel=error", join(folder, tarball));
    return { project, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function npm(cwd, ...words) {
  const { status, output, errors } = await run("npm", words, { cwd });
  if (status !== 0) throw new Error(`npm ${words.join(" ")} failed in ${cwd}:\n${output}${errors}`);
  return output;
}
