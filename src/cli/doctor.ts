// `ringbridge doctor`: says what on this machine would keep a guest from connecting, and how to mend it.

import { defaultControlPath } from "../config/control-path.js";
import { loadConfig } from "../config/load.js";
import { ConfigError } from "../config/problems.js";
import type { SwitchConfig } from "../config/schema.js";
import { type Check, machineChecks } from "./doctor-checks.js";
import { type Machine, thisMachine } from "./doctor-machine.js";
import { socketChecks } from "./doctor-sockets.js";
import type { Io } from "./io.js";

export interface DoctorOptions {
  /** Path of a configuration file whose sockets are looked at as well. */
  config?: string;
  control?: string;
  json?: boolean;
}

/** Every check, in the order they are shown. */
export function examine(options: DoctorOptions, machine: Machine): Check[] {
  const checks: Check[] = [];
  let config: SwitchConfig | undefined;
  if (options.config !== undefined) {
    try {
      config = loadConfig({ file: options.config, flags: { control: options.control }, env: machine.env });
      checks.push({ name: "config", status: "ok", what: `${options.config}: ${config.ports.length} ports` });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const fix = "correct it there";
      checks.push(...error.lines.map((what): Check => ({ name: "config", status: "fail", what, fix })));
    }
  }
  const control = config?.control ?? options.control ?? defaultControlPath(machine.env, machine.uid);
  const ports = config?.ports ?? [];
  const pairs = ports.map(({ queues }) => queues);
  const postcopy = ports.some((port) => port.postcopy === true);
  return [...checks, ...machineChecks(machine, pairs, postcopy), ...socketChecks(machine, control, ports)];
}

/** Runs the command; the exit code is 1 when a check failed. */
export async function doctorCommand(options: DoctorOptions, io: Io, machine = thisMachine(io.env)): Promise<number> {
  const checks = examine(options, machine);
  io.stdout.write(options.json ? `${JSON.stringify(checks, null, 2)}\n` : render(checks));
  return checks.some(({ status }) => status === "fail") ? 1 : 0;
}

function render(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, status, what, fix }) => {
    const line = `${status.padEnd(4)}  ${name.padEnd(width)}  ${what}`;
    return fix === undefined ? [line] : [line, `${" ".repeat(width + 8)}→ ${fix}`];
  });
  const count = (status: Check["status"]) => checks.filter((check) => check.status === status).length;
  const failed = count("fail");
  const warned = count("warn");
  const verdict =
    failed > 0
      ? `${failed} of ${checks.length} checks failed`
      : `nothing here keeps a guest from connecting${warned > 0 ? `; warnings: ${warned}` : ""}`;
  return `${[...lines, "", verdict].join("\n")}\n`;
}
