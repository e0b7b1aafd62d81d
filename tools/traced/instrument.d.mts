// Types of instrument.mjs, for tests.

export interface TracedSite {
  offset: number;
  start: number;
  function: string;
  memory: {
    kind?: "read" | "write" | "update";
    range?: "copy" | "fill";
    atomic?: boolean;
    size?: number;
    offset?: number;
  };
}

export function instrument(bytes: Uint8Array): { bytes: Uint8Array<ArrayBuffer>; sites: TracedSite[] };
