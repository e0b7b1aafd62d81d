// The `ringbridge-ovs-vsctl` command: under the name ovs-vsctl it gives libvirt the counters of a vhost-user interface.

import { spawnSync } from "node:child_process";
import { ControlClient } from "../api/control-client.js";
import type { Io } from "../cli/io.js";
import { defaultControlPath } from "../config/control-path.js";
import { packageVersion } from "../version.js";
import { answer, NoSuchInterface, parseQuery, UnknownQuery } from "./query.js";

const HELP = `\
Answers what libvirt asks ovs-vsctl about vhost-user interfaces, from a running ringbridge switch:
  --no-headings --columns=name find Interface options:vhost-server-path=PATH
  get Interface NAME name
  --if-exists --format=list --data=json --no-headings --columns=statistics list Interface NAME
Environment:
  RINGBRIDGE_CONTROL    control socket of the switch (default: as of ringbridge)
  RINGBRIDGE_OVS_VSCTL  the real ovs-vsctl, for everything that the switch can not answer
`;

/** Runs one command line of ovs-vsctl; resolves to the exit code: 1 as ovs-vsctl when there is no answer. */
export async function ovsVsctl(argv: readonly string[], io: Io): Promise<number> {
  if (argv.includes("--help") || argv.includes("-h")) return print(io, HELP);
  if (argv.includes("--version") || argv.includes("-V")) return print(io, `ringbridge-ovs-vsctl ${packageVersion()}\n`);
  const real = io.env.RINGBRIDGE_OVS_VSCTL;
  try {
    const query = parseQuery(argv);
    const { ports } = await new ControlClient(io.env.RINGBRIDGE_CONTROL ?? defaultControlPath(io.env)).status();
    const text = answer(query, ports);
    return text === "" && real ? passOn(real, argv, io) : print(io, text);
  } catch (error) {
    if (real) return passOn(real, argv, io);
    const known = error instanceof UnknownQuery || error instanceof NoSuchInterface;
    io.stderr.write(`${known ? "ovs-vsctl" : "ringbridge-ovs-vsctl"}: ${(error as Error).message}\n`);
    return 1;
  }
}

function print(io: Io, text: string): number {
  io.stdout.write(text);
  return 0;
}

/** Has the real program answer instead. */
function passOn(program: string, argv: readonly string[], io: Io): number {
  const { error, status, stdout, stderr } = spawnSync(program, [...argv], { encoding: "utf8" });
  if (error) {
    io.stderr.write(`ringbridge-ovs-vsctl: RINGBRIDGE_OVS_VSCTL can not be run: ${error.message}\n`);
    return 1;
  }
  io.stdout.write(stdout);
  io.stderr.write(stderr);
  return status ?? 1;
}
