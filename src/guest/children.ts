// What is needed to start parts of this package as processes of their own: where they lie, and why one ended.

import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { finished } from "node:stream/promises";
import { fileURLToPath } from "node:url";

/**
 * The path of a compiled file of this package, such as "src/guest/guest-process.js", seen from the sources as well as
 * from dist. Throws with what to do when it was not built.
 */
export function builtFile(path: string): string {
  const above = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
  const built = [join(above, path), join(above, "dist", path)].find(existsSync);
  if (built === undefined) throw new Error(`dist/${path} is missing: run "npm run build"`);
  return built;
}

/** Of what a process wrote to standard error, so much is kept. */
const COMPLAINT_CHARACTERS = 4000;

/**
 * Resolves when the process ends, or could not be started, with how: "exit code 1: <its last words>". To be called when
 * it was just started, with its standard error as a pipe, which this reads.
 */
export async function endOf(child: ChildProcess): Promise<string> {
  let complaint = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-COMPLAINT_CHARACTERS);
  });
  // Not "close": it does not come when the IPC channel was closed before the process ended.
  const how = await new Promise<string>((resolve) => {
    child.once("error", (error) => child.pid === undefined && resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  await finished(child.stderr!).catch(() => {});
  const words = lastWords(complaint);
  return words === "" ? how : `${how}: ${words}`;
}

/** The line that says most: of an exception of Node's the error, which stands above the stack, else the last. */
function lastWords(complaint: string): string {
  const lines = complaint.trim().split("\n");
  return lines.find((line) => /^[A-Za-z]*Error\b/.test(line)) ?? lines.at(-1)!;
}
