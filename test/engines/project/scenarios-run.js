// The scenarios' digests as one line of JSON, for engines that have a console.

import { readdirSync, readFileSync } from "node:fs";
import { scenarios } from "./scenarios.js";

const folder = new URL("../scenarios/", import.meta.url);
const files = readdirSync(folder).map((name) => [name, readFileSync(new URL(name, folder))]);
console.log(JSON.stringify(await scenarios(new Map(files))));
