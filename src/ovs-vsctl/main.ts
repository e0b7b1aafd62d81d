#!/usr/bin/env node
import { processIo } from "../cli/io.js";
import { ovsVsctl } from "./command.js";

process.exitCode = await ovsVsctl(process.argv.slice(2), processIo());
