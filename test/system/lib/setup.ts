// Runs in every system test file: what a failed test's processes last said is printed, and no process outlives the file.
import { afterAll, afterEach } from "vitest";
import { endAll, logTails, removeScratch, scratch } from "./process.js";

let failed = false;

afterEach(({ task }) => {
  if (task.result?.state === "fail") {
    failed = true;
    process.stderr.write(`\n${task.name}: the ends of the logs\n${logTails()}\n`);
  }
});

afterAll(async () => {
  await endAll();
  if (failed) process.stderr.write(`logs kept in ${scratch}\n`);
  else removeScratch();
});
