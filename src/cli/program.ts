// The command line: which commands and options there are, and how an error ends the process. Every command's module
// is loaded only when it runs, so that --help and --version are quick.
//
// Exit codes: 0 done; 1 it failed at run time; 2 the command line or the configuration is wrong.

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { defaultControlPath } from "../config/control-path.js";
import { ConfigError } from "../config/problems.js";
import { addAgentCommand } from "./agent-program.js";
import type { BenchFlags } from "./bench.js";
import type { CompareFlags } from "./bench-compare.js";
import type { CaptureFlags } from "./capture.js";
import type { CheckFlags } from "./check.js";
import type { ExploreFlags } from "./explore.js";
import { type Io, processIo, UsageError } from "./io.js";
import type { ReplayFlags } from "./replay.js";
import type { SimFlags } from "./sim.js";
import { addVifCommands } from "./vif-program.js";
import { packageVersion } from "../version.js";

/** pino's levels; written here as well so that the command line need not load pino. */
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

/**
 * Runs one command line.
 * @param argv the arguments after the program's name
 * @returns the exit code; everything the user should read has been written to `io`
 */
export async function main(argv: readonly string[], io: Io = processIo()): Promise<number> {
  let code = 0;
  const program = createProgram(io, async (command) => {
    code = await command();
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    // commander has written its message itself.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return report(error, wantsDebug(program, io), io);
  }
}

/** Writes an error, a line for each of its problems, and gives the exit code. */
function report(error: unknown, debug: boolean, io: Io): number {
  const lines = error instanceof ConfigError ? error.lines : [error instanceof Error ? error.message : String(error)];
  for (const line of lines) io.stderr.write(`ringbridge: ${line.replace(/\s*\n\s*/g, "; ")}\n`);
  if (debug && error instanceof Error) io.stderr.write(`${error.stack}\n`);
  return error instanceof ConfigError || error instanceof UsageError ? 2 : 1;
}

interface GlobalOptions {
  control?: string;
  debug?: boolean;
}

function wantsDebug(program: Command, io: Io): boolean {
  return program.opts<GlobalOptions>().debug === true || io.env.RINGBRIDGE_DEBUG === "1";
}

type Perform = (command: () => Promise<number>) => Promise<void>;

function createProgram(io: Io, perform: Perform): Command {
  const program = new Command("ringbridge");
  const globals = () => program.opts<GlobalOptions>();
  const control = () => globals().control ?? defaultControlPath(io.env);

  program
    .description("A vhost-user software switch: connects the virtio network cards of virtual machines.")
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .option("--control <path>", `the control socket (default: ${defaultControlPath(io.env)})`)
    .option("--debug", "print the stack of an error (also: RINGBRIDGE_DEBUG=1)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      // One line, also with commander's "(Did you mean --port?)".
      outputError: (text, write) =>
        write(
          `ringbridge: ${text
            .replace(/^error: /, "")
            .trim()
            .replace(/\n+/g, " ")}\n`,
        ),
    });

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
        return runCommand({ ...options, config, control: globals().control, debug: wantsDebug(program, io) }, io);
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
    .command("capture")
    .description("show the frames that pass ports of a running switch, or write them as pcapng")
    .argument("<port...>", "the ports")
    .option(
      "-w, --write <file>",
      'write pcapng there; "-" is standard output: ringbridge capture vm1 -w - | tshark -r -',
    )
    .option("-s, --snaplen <bytes>", "keep so many bytes of each frame (default: all)", positiveInteger)
    .option("-c, --count <n>", "end after so many frames", positiveInteger)
    .option("--seconds <n>", "end after this time", positiveNumber)
    .option("-f, --filter <expression>", 'only frames such as "arp or tcp port 80" (docs/CAPTURE.md)')
    .action((ports: string[], options: CaptureFlags) =>
      perform(async () => {
        const { captureCommand } = await import("./capture.js");
        return captureCommand({ ...options, ports, control: control() }, io);
      }),
    );

  program
    .command("replay")
    .description(
      "send the frames of a capture file (pcap or pcapng) into a running switch, in the place of a port's guest",
    )
    .argument("<file>", '"-" is standard input')
    .requiredOption("-p, --port <name>", "the port that they come from; no guest may be attached there")
    .option("--to <name>", "to the guest of this port, whatever addresses they have")
    .option("--speed <x>", "so many times as fast as they were captured (default: 1)", positiveNumber)
    .option("--rate <n>", "so many frames in a second", positiveNumber)
    .option("--topspeed", "as fast as the switch takes them")
    .option("--loop <n>", "send the file so many times", positiveInteger)
    .addOption(
      new Option("--direction <direction>", "only frames that this capture has marked so; unmarked ones always go")
        .choices(["in", "out", "all"])
        .default("in"),
    )
    .option("--interface <name>", "only frames of this interface of the file")
    .option("-f, --filter <expression>", "only frames that match (docs/CAPTURE.md)")
    .action((file: string, options: ReplayFlags) =>
      perform(async () => {
        const { replayCommand } = await import("./replay.js");
        return replayCommand({ ...options, file, control: control() }, io);
      }),
    );

  program
    .command("transcript")
    .description("show what ringbridge run --record has written of one connection")
    .argument("<file.jsonl>")
    .option("--no-effects", "only the messages")
    .action((file: string, options: { effects: boolean }) =>
      perform(async () => {
        const { transcriptCommand } = await import("./transcript.js");
        return transcriptCommand({ file, ...options }, io);
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
        return doctorCommand({ ...options, config, control: globals().control }, io);
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
    .option("--restart <command>", "starts the back-end, at the beginning if it is not there and after a crash")
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

  addVifCommands(program, { io, perform, control });
  addAgentCommand(program, { io, perform, control });

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

  return program;
}

interface RunFlags {
  port?: string[];
  empty?: boolean;
  workers?: number | string;
  poll?: boolean;
  record?: string;
  web?: string;
  webToken?: string;
  logLevel: string;
  logJson?: boolean;
}

/** What `demo` is given; absent ones were not written. */
export interface DemoFlags {
  /** True: an address was not given. */
  web?: string | true;
  seconds?: number;
  size?: number | "imix";
  workers?: number;
  json?: boolean;
}

function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** Digits as a number; anything else stays as it is, for the configuration's checks to name. */
function numberOrText(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1 on.");
  return Number(text);
}

function tcpPort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) {
    throw new InvalidArgumentError("It must be a whole number from 0 to 65535.");
  }
  return Number(text);
}

function seedNumber(text: string): number {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value > 0xffff_ffff) {
    throw new InvalidArgumentError("It must be a whole number from 0 to 4294967295.");
  }
  return value;
}

function niceValue(text: string): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < -20 || value > 19) {
    throw new InvalidArgumentError("It must be a whole number from -20 to 19.");
  }
  return value;
}

function frameSize(text: string): number | "imix" {
  if (text === "imix") return text;
  const size = Number(text);
  if (!/^\d+$/.test(text) || size < 64 || size > 65_535) {
    throw new InvalidArgumentError('It must be "imix" or a whole number from 64 to 65535.');
  }
  return size;
}
