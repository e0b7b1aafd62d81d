// What a machine is made of, from the disk.

import { readFileSync } from "node:fs";
import {
  DRIVER_FILES,
  Machine,
  type MachineBuild,
  makeSetup,
  type SetupOptions,
} from "../../../src/explore/machine/index.js";
import { sites, tracedModule } from "./traced.js";

const root = new URL("../../../", import.meta.url);
const driverSource = Object.fromEntries(DRIVER_FILES.map((file) => [file, readFileSync(new URL(file, root), "utf8")]));

export const build: MachineBuild = { module: tracedModule, sites, driverSource };

export function machineOf(options?: SetupOptions): Promise<Machine> {
  return Machine.create(makeSetup(options), build);
}
