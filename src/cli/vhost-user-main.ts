#!/usr/bin/env node
// The `ringbridge-vhost-user` command: `ringbridge run` for management programs, which start a back-end program without
// a word of its own before their options (QEMU docs/interop/vhost-user.rst, "Backend program conventions").

import { start } from "./start.js";

await start(["run", ...process.argv.slice(2)]);
