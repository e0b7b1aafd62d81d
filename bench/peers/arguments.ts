// The command line of `npm run bench:peers`, and the one of `ringbridge bench` that it makes of it.

import { Command, Option } from "commander";
import type { Peer } from "./peer.js";

/** Whose driver makes the traffic. */
export type Generator = "ringbridge" | "dpdk";

export interface PeersOptions {
  generator: Generator;
  /** Names of the peers that shall run. */
  peers: string[];
  /** Frame sizes as `ringbridge bench --sizes` takes them. */
  sizes: string[];
  /** Windows of each back-end for a figure, and seconds of a window; undefined: the benchmark's own. */
  windows?: number;
  duration?: number;
  /** CPUs of the generator and of the back-ends. */
  cpus: [generator: number, backEnd: number];
  /** Nice value of all that is measured. */
  nice?: number;
  hugePages: boolean;
  history: boolean;
  /** What else was written: for `ringbridge bench`. */
  rest: string[];
}

const SIZES = ["64", "256", "512", "1024", "1518"];
const QUICK = { sizes: ["64", "1518"], windows: 5, duration: 0.1 };

/**
 * Reads the words after `npm run bench:peers --`. Throws an Error with a sentence when they make no sense; with --help
 * it prints help and ends the process.
 * @param names the peers that there are
 */
export function parseWords(words: readonly string[], names: readonly string[]): PeersOptions {
  const program = new Command("npm run bench:peers --")
    .description("Measures ringbridge beside other vhost-user back-ends. Options of `ringbridge bench` are passed on.")
    .addOption(
      new Option("--generator <whose>", "whose driver makes the traffic: ours, or DPDK's virtio-user in testpmd")
        .choices(["ringbridge", "dpdk"])
        .default("ringbridge"),
    )
    .option("--peers <list>", "which peers", names.join(","))
    .option("--sizes <list>", "frame sizes in bytes, also imix with our generator", SIZES.join(","))
    .option("--quick", "two sizes and few short windows, to see that all works; leaves no history", false)
    .option("--windows <n>", "windows of each back-end for a figure")
    .option("--duration <s>", "seconds of one window")
    .option("--cpus <generator,back-end>", "the cores to use", "0,1")
    .option("--nice <n>", "nice value of generator and back-ends, such as -20 (needs CAP_SYS_NICE)")
    .option("--no-huge-pages", "reserve no 2 MiB pages")
    .option("--no-history", "leave bench/history.jsonl as it is")
    .allowUnknownOption()
    .argument("[words...]")
    .exitOverride((error) => {
      if (error.exitCode === 0) process.exit(0);
      throw new Error(error.message.replace(/^error: /, ""));
    })
    .configureOutput({ outputError: () => {} });
  program.parse([...words], { from: "user" });
  const flags = program.opts<Record<string, string | boolean>>();
  const given = (name: string) => program.getOptionValueSource(name) === "cli";
  const quick = flags.quick === true;
  const peers = list(flags.peers);
  const stranger = peers.find((name) => !names.includes(name));
  if (stranger !== undefined) throw new Error(`--peers ${stranger}: there are ${names.join(", ")}`);
  const windows = given("windows") ? positive("--windows", flags.windows) : quick ? QUICK.windows : undefined;
  const duration = given("duration") ? positive("--duration", flags.duration) : quick ? QUICK.duration : undefined;
  return {
    generator: flags.generator as Generator,
    peers,
    sizes: quick && !given("sizes") ? QUICK.sizes : list(flags.sizes),
    ...(windows === undefined ? {} : { windows }),
    ...(duration === undefined ? {} : { duration }),
    cpus: cpuPair(String(flags.cpus)),
    ...(given("nice") ? { nice: niceValue(String(flags.nice)) } : {}),
    hugePages: flags.hugePages === true,
    history: flags.history === true && !quick,
    rest: program.args,
  };
}

/** Longest frame among the sizes, in bytes; a mix has none longer than 1518. */
export function longestFrame(sizes: readonly string[]): number {
  return Math.max(1518, ...sizes.map(Number).filter((size) => Number.isFinite(size)));
}

/** The words of `ringbridge bench` that measure ringbridge beside these peers and write the result to `json`. */
export function benchWords(
  options: PeersOptions,
  peers: readonly Pick<Peer, "name" | "sockets" | "role" | "pids">[],
  json: string,
): string[] {
  const { sizes, windows, duration, cpus, nice, hugePages, rest } = options;
  const backEnds = peers.map(
    // The generator takes the other part.
    ({ name, sockets, role, pids }) =>
      `${name}=${sockets.join(",")}:${role === "listens" ? "connect" : "listen"}@${pids[0]}`,
  );
  return [
    "bench",
    ...["ringbridge", ...backEnds].flatMap((backEnd) => ["--backend", backEnd]),
    // Its peers never sleep either.
    "--poll",
    ...["--sizes", sizes.join(","), "--cpus", cpus.join(","), "--json", json],
    ...(windows === undefined ? [] : ["--windows", String(windows)]),
    ...(duration === undefined ? [] : ["--duration", String(duration)]),
    ...(nice === undefined ? [] : ["--nice", String(nice)]),
    ...(hugePages ? ["--huge-pages"] : []),
    ...rest,
  ];
}

function list(text: string | boolean | undefined): string[] {
  return String(text)
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

function positive(flag: string, text: string | boolean | undefined): number {
  const value = Number(text);
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) throw new Error(`${flag} ${text}: it must be a number above 0`);
  return value;
}

function cpuPair(text: string): [number, number] {
  const match = /^(\d+),(\d+)$/.exec(text);
  if (!match || match[1] === match[2]) throw new Error(`--cpus ${text}: two different CPUs, such as 0,1`);
  return [Number(match[1]), Number(match[2])];
}

function niceValue(text: string): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < -20 || value > 19) throw new Error(`--nice ${text}: it goes from -20 to 19`);
  return value;
}
