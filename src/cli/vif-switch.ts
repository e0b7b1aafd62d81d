// `ringbridge vif plug | unplug | list | explain`: ports of Neutron on a running switch.

import { ControlClient, RefusedError } from "../api/control-client.js";
import type { PortStatus } from "../api/status.js";
import { type ChainStep, explainChain } from "../vif/explain.js";
import { VifRefusal } from "../vif/refusal.js";
import { isPlain, namesForId, type SocketAccess, vifChain } from "../vif/switch-port.js";
import { type Io, UsageError } from "./io.js";
import { formatDuration, indent, renderTable } from "./table.js";
import { readJson } from "./vif-input.js";

/** As written on the command line. */
export interface VifSwitchFlags {
  control: string;
  owner: string;
  socketMode?: string;
  socketGroup?: string;
  json?: boolean;
}

/** What the switch itself finds wrong with a port: as wrong as what Nova would. */
const OPERATORS_MISTAKE = [409, 413, 422];

/** `vif plug`: the switch has the port, as it should be; prints `{name, change, live}`. */
export async function vifPlugCommand(file: string, flags: VifSwitchFlags, io: Io): Promise<number> {
  const client = new ControlClient(flags.control);
  return forEach(file, io, async (input) => {
    const { name, port } = vifChain(input, accessOf(flags));
    return { name, ...(await client.plug(name, port, flags.owner)) };
  });
}

/** `vif unplug`: the switch has no such port any more; prints `{name, removed}`. */
export async function vifUnplugCommand(file: string, flags: VifSwitchFlags, io: Io): Promise<number> {
  const client = new ControlClient(flags.control);
  return forEach(file, io, async (input) => {
    const names = namesOf(input);
    for (const name of names) {
      if (await client.unplug(name, flags.owner)) return { name, removed: true };
    }
    return { name: names[0], removed: false };
  });
}

/** The names that a port may have on the switch, by `{name}` or `{id}` or what `plug` takes. */
function namesOf(input: unknown): string[] {
  if (!isPlain(input)) throw new VifRefusal('the input must be a map: {"name": …}, {"id": …} or what plug takes');
  if (typeof input.name === "string" && input.port === undefined && input.id === undefined) return [input.name];
  const { id } = isPlain(input.port) ? input.port : input;
  return namesForId(id);
}

async function forEach(file: string, io: Io, answer: (input: unknown) => Promise<unknown>): Promise<number> {
  const input = await readJson(file, io);
  const values: unknown[] = [];
  for (const item of Array.isArray(input) ? input : [input]) {
    try {
      values.push(await answer(item));
    } catch (error) {
      const refused = error instanceof VifRefusal || (error instanceof RefusedError && error.status >= 400);
      if (!refused) throw error;
      if (Array.isArray(input)) values.push({ error: error.message });
      else if (error instanceof RefusedError && !OPERATORS_MISTAKE.includes(error.status)) throw error;
      else throw new UsageError(error.message);
    }
  }
  io.stdout.write(`${JSON.stringify(Array.isArray(input) ? values : values[0], null, 2)}\n`);
  return 0;
}

/** `vif list`: the ports of the switch as whoever plugs them sees them. */
export async function vifListCommand(flags: { control: string; json?: boolean }, io: Io): Promise<number> {
  const { ports } = await new ControlClient(flags.control).status();
  const rows = ports.map(({ name, owner, role, path, state, stateForMs, wired, adminStateUp, mtu, lastError }) => ({
    ...{ name, owner: owner ?? null, role, socket: path, state, stateForMs: Math.round(stateForMs) },
    ...{ wired, adminStateUp, mtu: mtu ?? null, lastError: lastError ?? null },
  }));
  if (flags.json) {
    io.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return 0;
  }
  const titles = ["PORT", "OWNER", "ADMIN", "STATE", "FOR", "WIRED", "MTU", "SOCKET"].map((title) => ({ title }));
  const table = rows.map((row) => [
    ...[row.name, row.owner ?? "-", row.adminStateUp ? "up" : "down", row.state, formatDuration(row.stateForMs)],
    ...[row.wired ? "yes" : "no", row.mtu ?? "-", `${row.role} ${row.socket}`],
  ]);
  io.stdout.write(rows.length === 0 ? "no ports\n" : `${renderTable(titles, table)}\n`);
  return 0;
}

/** `vif explain`: every step from the port to the guest's traffic; what a running switch says of it now, if one runs. */
export async function vifExplainCommand(file: string, flags: VifSwitchFlags, io: Io): Promise<number> {
  const explanation = explainChain(await readJson(file, io), accessOf(flags));
  const now = explanation.port && (await portNow(explanation.port.name, flags.control));
  if (flags.json) {
    io.stdout.write(`${JSON.stringify({ ...explanation, now: now ?? null }, null, 2)}\n`);
  } else {
    const steps = explanation.steps.map(stepText);
    if (now !== undefined) steps.push(typeof now === "string" ? `now: ${now}` : nowText(now));
    io.stdout.write(`${steps.join("\n\n")}\n`);
  }
  if (explanation.refusal === undefined) return 0;
  const { by, reason } = explanation.refusal;
  throw new UsageError(`the chain ends at ${by}: ${reason}`);
}

function stepText({ by, here, made, notes }: ChainStep, i: number): string {
  const text = typeof made === "string" ? made.trimEnd() : argumentsText(made);
  return [`${i + 1}. ${by} (${here})`, indent(text), ...notes.map((note) => indent(`- ${note}`))].join("\n");
}

/** QEMU's arguments as on its command line, all else as JSON. */
function argumentsText(made: unknown): string {
  if (Array.isArray(made)) return made.map((pair: string[]) => pair.join(" ")).join("\n");
  return JSON.stringify(made, null, 2);
}

/** The port in the running switch, or a sentence about why there is none. */
async function portNow(name: string, control: string): Promise<PortStatus | string> {
  try {
    const { ports } = await new ControlClient(control).status();
    return ports.find((port) => port.name === name) ?? `the switch has no port ${name} yet: ringbridge vif plug`;
  } catch (error) {
    return (error as Error).message;
  }
}

function nowText({
  name,
  state,
  wired,
  stateForMs,
  owner,
  adminStateUp,
  lastError,
  rxFrames,
  txFrames,
}: PortStatus): string {
  const lines = [
    `now: port ${name} of the switch is ${state} for ${formatDuration(stateForMs)}, ${wired ? "wired" : "not wired"}` +
      `${adminStateUp ? "" : ", admin down"}${owner === undefined ? "" : `, plugged by ${owner}`}`,
    indent(`${rxFrames} frames from the guest, ${txFrames} to it`),
  ];
  if (lastError !== undefined) lines.push(indent(`last error: ${lastError}`));
  return lines.join("\n");
}

function accessOf({ socketMode, socketGroup }: VifSwitchFlags): SocketAccess {
  return { ...(socketMode && { mode: socketMode }), ...(socketGroup && { group: socketGroup }) };
}
