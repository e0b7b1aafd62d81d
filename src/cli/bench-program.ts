// The command line of what needs no switch that runs: to measure and to examine back-ends, to simulate, to explore.

import type { Command } from "commander";
import type { BenchFlags } from "./bench.js";
import type { CompareFlags } from "./bench-compare.js";
import type { CheckFlags } from "./check.js";
import type { ExploreFlags } from "./explore.js";
import { collect, niceValue, positiveInteger, positiveNumber, seedNumber, tcpPort } from "./option-values.js";
import type { ProgramParts } from "./program-parts.js";
import type { SimFlags } from "./sim.js";

export function addBenchCommands(program: Command, { io, perform }: ProgramParts): void {
  const bench = program
    .command("bench")
    .description("measure ringbridge, or any vhost-user back-ends side by side")
    .option("--backend <backend>", "ringbridge, null, or NAME=/a.sock,/b.sock[:connect|:listen][@PID]", collect)
    .option(
      "--sizes <list>",
      "frame sizes in bytes, also imix, and tso for 64 KiB with segmentation offload (default: 64,256,512,1024,1518)",
    )
    .option("--directions <list>", "one-way, both-ways (default: one-way)")
    .option("--flows <list>", "streams in each direction, each with addresses of its own (default: 1)")
    .option("--ports <list>", "ports of the back-end in use, in pairs (default: 2)")
    .option("--methods <list>", "mrr, ndr, pdr, loss, latency (default: mrr)")
    .option("--duration <s>", "seconds of one window (default: 0.15)", positiveNumber)
    .option("--windows <n>", "windows of each back-end for a figure (default: 9)", positiveInteger)
    .option("--stall <ms>", "leave out windows in which something stood still longer (default: 3)", positiveNumber)
    .option("--reference <name>", "the back-end that others are compared with")
    .option("--cpus <generator,back-end>", "the cores to use")
    .option("--nice <n>", "nice value of generator and back-ends, such as -20 (needs CAP_SYS_NICE)", niceValue)
    .option("--queues <n>", "queue pairs of a port (default: 1)", positiveInteger)
    .option("--queue-size <n>", "entries of a ring (default: 256)", positiveInteger)
    .option("--ring <form>", "split or packed rings (default: split)")
    .option("--payload", "write the payload of every frame, not only its header")
    .option("--huge-pages", "guest memory in 2 MiB pages, which must be reserved")
    .option("--workers <n>", "data path threads of the ringbridge that is started (default: 1)", positiveInteger)
    .option("--poll", "have that ringbridge never sleep")
    .option("--self-test", "also measure the generator itself, against a back-end that does nothing")
    .option("--json <file>", "write the result as JSON")
    .option("--html <file>", "write the result as one HTML page")
    .action((options: BenchFlags) =>
      perform(async () => {
        const { benchCommand } = await import("./bench.js");
        return benchCommand(options, io);
      }),
    );
  bench
    .command("compare")
    .description("say what changed between two results, and whether it is more than noise")
    .argument("<before.json>")
    .argument("<after.json>")
    .option("--fail-on-regression", "exit code 1 when something got worse by more than noise")
    .action((before: string, after: string, options: CompareFlags) =>
      perform(async () => {
        const { compareCommand } = await import("./bench-compare.js");
        return compareCommand(before, after, options, io);
      }),
    );

  program
    .command("check")
    .description("examine any vhost-user net back-end: what the specifications say, hostile guests, case by case")
    .option("--backend <sockets>", "a.sock or a.sock,b.sock[:listen]; with two, frames are passed between them")
    .option("--only <list>", "cases or rooms: F3,M*,traffic")
    .option("--except <list>", "cases or rooms to be left out, such as what is known to fail")
    .option(
      "--restart <command>",
      "starts the back-end, at the beginning if it is not there and after a crash",
      collect,
    )
    .option(
      "--once",
      "the back-end serves one connection and ends: --restart, given for each socket, starts it for each",
    )
    .option("--log <file>", "write there what the back-end writes that --restart starts")
    .option("--timeout <s>", "seconds that the back-end may take for one answer (default: 2)", positiveNumber)
    .option("--json <file>", "write the result as JSON")
    .option("--junit <file>", "write the result as JUnit's XML")
    .option("--list", "only list the cases")
    .action((options: CheckFlags) =>
      perform(async () => {
        const { checkCommand } = await import("./check.js");
        return checkCommand(options, io);
      }),
    );

  program
    .command("sim")
    .description("play a scenario on simulated guests under a virtual clock, and say whether what it expects came true")
    .argument("<scenario.yaml>", "see examples/scenarios")
    .option("--seed <n>", "what is left to chance comes from it (default: the file's)", seedNumber)
    .option("--report <file>", "write what happened as one HTML page")
    .option("--junit <file>", "write the answers as JUnit's XML")
    .option("--pcap <file>", "write what all ports saw, as pcapng")
    .option("--json", "print JSON")
    .option(
      "--runs <n>",
      "play so many seeds; the first that fails is cut down to the least that still does",
      positiveInteger,
    )
    .action((file: string, options: SimFlags) =>
      perform(async () => {
        const { simCommand } = await import("./sim.js");
        return simCommand(file, options, io);
      }),
    );

  program
    .command("explore")
    .description("serve the explorer on loopback: virtqueues step by step, in a browser, on the core that forwards")
    .option("--port <n>", "TCP port; 0 is any that is free (default: 7070, or any when that is taken)", tcpPort)
    .action((options: ExploreFlags) =>
      perform(async () => {
        const { exploreCommand } = await import("./explore.js");
        return exploreCommand(options, io);
      }),
    );
}
