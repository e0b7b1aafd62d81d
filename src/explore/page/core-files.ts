// The files that the page runs, from beside its own program, and what it can say about them.

import { compileTraced, type MachineBuild, Sites, type SiteTable } from "../machine/index.js";

export interface CoreFiles {
  build: MachineBuild;
  sources: Sources;
  /** SHA-256 in hex: of core.traced.wasm as it came here (undefined where the browser cannot tell), and of the release build. */
  hash: string | undefined;
  release: string;
}

/** Texts of the core's sources and of the drivers', by their paths in the repository. */
export class Sources {
  constructor(private readonly files: ReadonlyMap<string, string>) {}

  text(path: string): string | undefined {
    return this.files.get(path);
  }
}

/** What tools/pages.mjs has packed. */
interface Packed {
  sites: SiteTable;
  drivers: Record<string, string>;
}

/** Loads and compiles the traced core. Rejects with a line for the reader when a file is missing or of another build. */
export async function loadCore(): Promise<CoreFiles> {
  const [bytes, packed] = await Promise.all([load("core.traced.wasm"), load("sources.bin")]);
  const { sites, drivers } = JSON.parse(await unzip(packed)) as Packed;
  const hash = await sha256(bytes);
  if (hash !== undefined && hash !== sites.traced) {
    throw new Error("core.traced.wasm and sources.bin are of different builds: reload, or copy the folder again");
  }
  const sources = new Sources(new Map([...sites.files, ...Object.entries(drivers)]));
  return {
    build: { module: compileTraced(bytes), sites: new Sites(sites), driverSource: drivers },
    sources,
    hash,
    release: sites.release,
  };
}

async function unzip(bytes: ArrayBuffer): Promise<string> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
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
