// The files that the page runs, from beside its own program, and what it can say about them.

import { Sites, type SiteTable } from "../machine/sites.js";
import { compileTraced } from "../machine/traced-core.js";

export interface CoreFiles {
  core: WebAssembly.Module;
  sites: Sites;
  /** SHA-256 in hex: of core.traced.wasm as it came here (undefined where the browser cannot tell), and of the release build. */
  hash: string | undefined;
  release: string;
}

/** Loads and compiles the traced core. Rejects with a line for the reader when a file is missing or of another build. */
export async function loadCore(): Promise<CoreFiles> {
  const [bytes, text] = await Promise.all([load("core.traced.wasm"), load("core.sites.json")]);
  const table = JSON.parse(new TextDecoder().decode(text)) as SiteTable;
  const hash = await sha256(bytes);
  if (hash !== undefined && hash !== table.traced) {
    throw new Error("core.traced.wasm and core.sites.json are of different builds: reload, or copy the folder again");
  }
  return { core: compileTraced(bytes), sites: new Sites(table), hash, release: table.release };
}

async function load(name: string): Promise<ArrayBuffer> {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name} is missing beside the page (${answer.status}): copy the whole folder`);
  return answer.arrayBuffer();
}

/** Plain HTTP from another machine has no crypto.subtle. */
async function sha256(bytes: ArrayBuffer): Promise<string | undefined> {
  if (globalThis.crypto?.subtle === undefined) return undefined;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
