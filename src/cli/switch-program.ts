// The command line of a switch: to start one, to ask it, and what comes before.

import { type Command, Option } from "commander";
import type { DemoFlags } from "./demo.js";
import { collect, frameSize, numberOrText, positiveInteger, positiveNumber } from "./option-values.js";
import type { ProgramParts } from "./program-parts.js";
import type { RunOptions } from "./run.js";

/** pino's levels; written here as well so that the command line need not load pino. */
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

type RunFlags = Omit<RunOptions, "config" | "control" | "debug">;

export function addSwitchCommands(program: Command, { io, perform, control, givenControl, debug }: ProgramParts): void {
  program
    .command("run")
    .description("start a switch")
    .argument("[config.yaml]", "configuration file; SIGHUP reads it again")
    .option(
      "-p, --port <port>",
      "NAME=listen:PATH or NAME=connect:PATH[,mode=0660,group=kvm,queues=4,mac=MAC,mtu=N,offloads=false,iommu=true,postcopy=true,admin-state-up=false]",
      collect,
    )
    .option(
      "--socket-path <path>",
      "a listening port, named as the file (QEMU's back-end program conventions)",
      collect,
    )
    .option(
      "--fd <n>",
      "a port on socket descriptor N, connected or listening, that the program was started with (the same conventions)",
      collect,
    )
    .option("--print-capabilities", "print what kind of vhost-user back-end this is, as JSON, and do nothing else")
    .option("--empty", "start without ports: ringbridge vif plug and ringbridge agent bring them")
    .option("--workers <n>", "data path threads", numberOrText)
    .option("--poll", "never sleep: lowest latency, one whole core per worker")
    .option("--record <folder>", "write a transcript of every front-end's connection there: see ringbridge transcript")
    .option("--web <address>", "serve a live page there, such as 127.0.0.1:8080; port 0 is any (docs/LIVE.md)", String)
    .option(
      "--web-token <token>",
      "what browsers must show; needed where other machines reach it (also: RINGBRIDGE_WEB_TOKEN)",
    )
    .addOption(new Option("--log-level <level>", "least level that is logged").choices(LOG_LEVELS).default("info"))
    .option("--log-json", "log JSON lines")
    .action((config: string | undefined, options: RunFlags) =>
      perform(async () => {
        const { runCommand } = await import("./run.js");
        return runCommand({ ...options, config, control: givenControl(), debug: debug() }, io);
      }),
    );

  program
    .command("status")
    .description("show ports, rates, drops and workers of a running switch")
    .option("--json", "print JSON")
    .option("-w, --watch", "again every second")
    .option("-p, --port <name>", "only this port")
    .action((options: { json?: boolean; watch?: boolean; port?: string }) =>
      perform(async () => {
        const { statusCommand } = await import("./status.js");
        return statusCommand({ ...options, control: control() }, io);
      }),
    );

  const fdb = program
    .command("fdb")
    .description("show the MAC addresses that a running switch has learned")
    .option("--json", "print JSON")
    .action((options: { json?: boolean }) =>
      perform(async () => {
        const { fdbCommand } = await import("./fdb.js");
        return fdbCommand({ ...options, control: control() }, io);
      }),
    );
  fdb
    .command("flush")
    .description("forget learned addresses")
    .option("-p, --port <name>", "only those of this port")
    .action((options: { port?: string }) =>
      perform(async () => {
        const { fdbFlushCommand } = await import("./fdb.js");
        return fdbFlushCommand({ ...fdb.opts<{ json?: boolean }>(), ...options, control: control() }, io);
      }),
    );

  program
    .command("doctor")
    .description("say what on this machine would keep a guest from connecting, and how to mend it")
    .argument("[config.yaml]", "also check the sockets of this configuration")
    .option("--json", "print JSON")
    .action((config: string | undefined, options: { json?: boolean }) =>
      perform(async () => {
        const { doctorCommand } = await import("./doctor.js");
        return doctorCommand({ ...options, config, control: givenControl() }, io);
      }),
    );

  program
    .command("demo")
    .description(
      "run a switch and two simulated guests, each a process of its own, and check every frame they exchange",
    )
    .option("--seconds <n>", "how long to measure", positiveNumber)
    .option("--size <bytes>", 'frame size in bytes, or "imix"', frameSize)
    .option("--workers <n>", "data path threads", positiveInteger)
    .option("--web [address]", "show the switch live in a browser, by default at a free port of 127.0.0.1")
    .option("--json", "print JSON")
    .action((options: DemoFlags) =>
      perform(async () => {
        const { runDemo } = await import("./demo.js");
        return runDemo(options, io);
      }),
    );
}
