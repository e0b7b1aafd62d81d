// `ringbridge check`: examines a vhost-user net back-end, and says case by case what is right and what is wrong with it.

import { closeSync, openSync, writeFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import type { CheckCase } from "../check/case.js";
import { chooseCases } from "../check/cases.js";
import { isBad, reportJson, reportJunit, reportText } from "../check/report.js";
import { type CheckOptions, runCheck } from "../check/run.js";
import type { Target } from "../check/target.js";
import { type Io, UsageError } from "./io.js";
import { renderTable } from "./table.js";

/** As written on the command line; absent ones were not. */
export interface CheckFlags {
  backend?: string;
  only?: string;
  except?: string;
  restart?: string[];
  once?: boolean;
  log?: string;
  timeout?: number;
  junit?: string;
  json?: string;
  list?: boolean;
}

const DEFAULT_TIMEOUT_S = 2;
const FORM = "write a.sock or a.sock,b.sock, with :listen behind it when the back-end connects to sockets made here";

/** Runs the command; exit code 1 when a case failed or crashed the back-end, or the run was interrupted. */
export async function checkCommand(flags: CheckFlags, io: Io): Promise<number> {
  const cases = chosen(flags);
  if (flags.list) {
    io.stdout.write(`${list(cases)}\n`);
    return 0;
  }
  const target = parseTarget(flags.backend);
  const start = startOf(flags, target);
  const timeoutMs = (flags.timeout ?? DEFAULT_TIMEOUT_S) * 1000;
  for (const flag of ["json", "junit", "log"] as const) demandWritable(flag, flags[flag]);
  let signals = 0;
  const onSignal = () => {
    if (++signals > 1) io.exit(1);
  };
  io.signals.on("SIGINT", onSignal);
  io.signals.on("SIGTERM", onSignal);
  const progress = new Progress(io);
  try {
    const report = await runCheck({ ...target, ...start, timeoutMs, log: flags.log }, cases, {
      begins: (it, number, of) => progress.show(it, number, of),
      ended: (result) => progress.tell(isBad(result) ? `${result.verdict}  ${result.id}  ${result.title}` : undefined),
      interrupted: () => signals > 0,
      warns: (why) => {
        progress.tell(`no frame passes from one socket to the other, so cases with two sockets will fail: ${why}`);
      },
    });
    progress.end();
    if (flags.json !== undefined) writeFileSync(flags.json, reportJson(report));
    if (flags.junit !== undefined) writeFileSync(flags.junit, reportJunit(report));
    io.stdout.write(`${reportText(report)}\n`);
    return signals > 0 || report.cases.some(isBad) ? 1 : 0;
  } finally {
    progress.end();
    io.signals.off("SIGINT", onSignal);
    io.signals.off("SIGTERM", onSignal);
  }
}

/** Reads --backend. Throws a UsageError. */
export function parseTarget(text: string | undefined): Target {
  if (text === undefined) throw new UsageError(`--backend is needed: ${FORM}`);
  const match = /^(.+?)(?::(connect|listen))?$/.exec(text);
  const sockets = (match?.[1] ?? "").split(",").map((path) => (isAbsolute(path) || path === "" ? path : resolve(path)));
  if (sockets.length > 2 || sockets.includes("")) throw new UsageError(`--backend ${text}: one socket or two: ${FORM}`);
  if (sockets[0] === sockets[1]) throw new UsageError(`--backend ${text}: a socket is given twice`);
  return { sockets, role: (match?.[2] ?? "connect") as Target["role"] };
}

/** What --restart and --once say. Throws a UsageError when they do not go together. */
function startOf(
  { restart = [], once = false }: CheckFlags,
  { sockets }: Target,
): Pick<CheckOptions, "restart" | "once"> {
  if (once && restart.length !== sockets.length) {
    const needed = sockets.length === 1 ? "--restart" : "--restart twice, for the first and for the second socket";
    throw new UsageError(`--once: the back-end is started for each connection, so give ${needed}`);
  }
  if (!once && restart.length > 1) {
    throw new UsageError("--restart is given twice: only with --once, where each socket has a command of its own");
  }
  return { restart, once };
}

/** Throws a UsageError when a file that is written at the end could not be. */
function demandWritable(flag: string, file: string | undefined): void {
  if (file === undefined) return;
  try {
    closeSync(openSync(file, "a"));
  } catch (error) {
    throw new UsageError(`--${flag} ${file} cannot be written (${(error as NodeJS.ErrnoException).code ?? error})`);
  }
}

function chosen({ only, except }: CheckFlags): CheckCase[] {
  let cases: CheckCase[];
  try {
    cases = chooseCases(only?.split(","), except?.split(","));
  } catch (error) {
    const flags = [only && `--only ${only}`, except && `--except ${except}`].filter(Boolean).join(" ");
    throw new UsageError(`${flags}: ${(error as Error).message}`);
  }
  if (cases.length === 0) throw new UsageError(`--except ${except} leaves no case`);
  return cases;
}

function list(cases: readonly CheckCase[]): string {
  const columns = ["case", "room", "sockets", "what", "specification"].map((title) => ({ title }));
  return renderTable(
    columns,
    cases.map(({ id, room, sockets, title, clause }) => [id, room, sockets, title, clause]),
  );
}

/**
 * Which case is running: one line on standard error that is drawn anew on a terminal, else a line for each room that is
 * entered; and what went wrong.
 */
class Progress {
  private drawn = false;
  private room = "";

  constructor(private readonly io: Io) {}

  show({ id, title, room }: CheckCase, number: number, of: number): void {
    if (this.io.stderr.isTTY !== true) {
      if (room !== this.room) this.io.stderr.write(`[${number}/${of}] ${room}\n`);
      this.room = room;
      return;
    }
    this.io.stderr.write(`\r\x1b[K${`[${number}/${of}] ${id} ${title}`.slice(0, 110)}`);
    this.drawn = true;
  }

  tell(line: string | undefined): void {
    if (line === undefined) return;
    this.end();
    this.io.stderr.write(`${line}\n`);
  }

  end(): void {
    if (this.drawn) this.io.stderr.write("\r\x1b[K");
    this.drawn = false;
  }
}
