#!/usr/bin/env node
// The `ringbridge` command.

import { start } from "./start.js";

await start(process.argv.slice(2));
