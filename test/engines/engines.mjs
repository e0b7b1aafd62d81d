// The engines: where each comes from, and how it runs a program and the tests of a project. Node, Bun and Deno come from
// npm at the versions below and are kept in npm's cache; Chromium is the system's.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

/** Ends what hangs; on a busy machine the slowest step takes a tenth of it. */
const LIMIT_MS = 300_000;
const CHROMIUM_PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** An engine that cannot be had here, and why: no failure of what was to be tested on it. */
export class Missing extends Error {}

/**
 * Names for the command line. `node` is the one that runs this. `scenarios`: the files of examples/scenarios are played on
 * it too, which takes its time: three engines from two families will do.
 */
export const ENGINES = {
  node: { find: async () => ({ version: process.version, path: process.execPath }), scenarios: true },
  "node@20": fromNpm("node@20.20.2"),
  "node@22": fromNpm("node@22.23.3"),
  "node@24": fromNpm("node@24.21.0"),
  "node@26": { ...fromNpm("node@26.10.0"), scenarios: true },
  bun: { ...fromNpm("bun@1.4.5"), words: ["--bun"] },
  deno: { ...fromNpm("deno@2.9.6"), words: ["run", "--allow-all"] },
  chromium: { find: findChromium, scenarios: true },
};

const SELF = "console.log(JSON.stringify({ version: process.version, path: process.execPath }))";
const ASK = {
  node: ["-e", SELF],
  bun: ["-e", SELF],
  deno: ["eval", SELF.replaceAll("process.execPath", "Deno.execPath()")],
};

function fromNpm(spec) {
  const [name, version] = spec.split("@");
  return {
    find: async () => {
      const words = ["--yes", "--package", spec, "--", name, ...ASK[name]];
      const { status, output, errors } = await run("npx", words, {});
      if (status !== 0) throw new Missing(`npx cannot run ${spec}: ${errors.trim().split("\n").at(-1)}`);
      const found = JSON.parse(output);
      // Bun and Deno say as process.version which Node they are like.
      return name === "node" ? found : { ...found, version };
    },
  };
}

async function findChromium() {
  const path = [process.env.CHROMIUM, ...CHROMIUM_PATHS].find((each) => each && existsSync(each));
  if (!path) throw new Missing("no Chromium: tools/system-packages.sh installs it, or name one in CHROMIUM");
  return { path, version: (await run(path, ["--version"], {})).output.match(/[\d.]+/)?.[0] ?? "" };
}

/** Runs a program to its end, or for LIMIT_MS: its exit status (null: killed) and what it wrote. */
export function run(path, words, { cwd, env }) {
  return new Promise((resolve, reject) => {
    const child = spawn(path, words, {
      cwd,
      env: { ...process.env, NO_COLOR: "1", ...env },
      timeout: LIMIT_MS,
      stdio: ["ignore", "pipe", "pipe"],
      // npx is a script there.
      shell: process.platform === "win32",
    });
    const texts = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"])
      child[name].setEncoding("utf8").on("data", (text) => (texts[name] += text));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output: texts.stdout, errors: texts.stderr }));
  });
}
