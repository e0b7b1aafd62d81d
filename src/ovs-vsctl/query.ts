// What a program may ask ovs-vsctl about the port of a vhost-user interface, and the answers in Open vSwitch's format.
// libvirt asks three things (src/util/virnetdevopenvswitch.c, virNetDevOpenvswitchGetVhostuserIfname and
// virNetDevOpenvswitchInterfaceStats): the name of an interface by its socket, whether an interface of a name exists,
// and an interface's statistics.

import { basename } from "node:path";
import { parseArgs } from "node:util";
import type { PortStatus } from "../api/status.js";

/** A question about one port. */
export type Query =
  | { ask: "name-by-path"; path: string }
  | { ask: "name"; name: string }
  | { ask: "statistics"; name: string; ifExists: boolean };

/** The question is none that we can answer. */
export class UnknownQuery extends Error {}

/** The question is about an interface that the switch does not have. */
export class NoSuchInterface extends Error {}

const OPTIONS = {
  // Of the connection to the database, which we do not need.
  timeout: { type: "string", short: "t" },
  db: { type: "string" },
  "no-wait": { type: "boolean" },
  // Of the output.
  format: { type: "string", short: "f" },
  data: { type: "string", short: "d" },
  "no-headings": { type: "boolean" },
  columns: { type: "string" },
  "if-exists": { type: "boolean" },
} as const;

/**
 * Reads a command line of ovs-vsctl.
 * @throws UnknownQuery with a sentence that says what can be asked
 */
export function parseQuery(argv: readonly string[]): Query {
  const { values, positionals } = read(argv);
  const [command, table, record, column, ...more] = positionals;
  const statement = argv.join(" ");
  if (table !== "Interface" || record === undefined || more.length > 0) throw unknown(statement);
  if (command === "get" && column === "name") return { ask: "name", name: record };
  if (column !== undefined) throw unknown(statement);

  const bare = values["no-headings"] === true && (values.format ?? "list") === "list";
  const path = /^options:vhost-server-path=(.*)$/s.exec(record)?.[1];
  if (command === "find" && path !== undefined && bare && values.columns === "name") {
    return { ask: "name-by-path", path: unquoted(path) };
  }
  if (command === "list" && bare && values.data === "json" && values.columns === "statistics") {
    return { ask: "statistics", name: record, ifExists: values["if-exists"] === true };
  }
  throw unknown(statement);
}

/** The answer, as ovs-vsctl would print it. Nothing is printed for a path that no interface has. */
export function answer(query: Query, ports: readonly PortStatus[]): string {
  if (query.ask === "name-by-path") {
    // The column is there only for ports whose socket QEMU makes: QEMU is the server, the switch connects.
    const port = ports.find(({ role, path }) => role === "connect" && path === query.path);
    return port === undefined ? "" : `${atom(port.name)}\n`;
  }
  // Open vSwitch names a listening socket after its interface, so libvirt takes the socket's file name for the name.
  const port =
    ports.find(({ name }) => name === query.name) ??
    ports.find(({ role, path }) => role === "listen" && basename(path) === query.name);
  if (port === undefined) {
    if (query.ask === "statistics" && query.ifExists) return "";
    throw new NoSuchInterface(`no row "${query.name}" in table Interface: the switch has no port of this name`);
  }
  return query.ask === "name" ? `${atom(port.name)}\n` : `${JSON.stringify(["map", statistics(port)])}\n`;
}

/**
 * The statistics column of an Interface, sorted by key. As everywhere in Open vSwitch it is the switch's view: rx came
 * from the guest (libvirt turns it round). A frame that was refused for what the guest made of it counts as dropped.
 */
function statistics(port: PortStatus): [string, number][] {
  const dropped = (kind: "receiveq" | "transmitq") =>
    port.queues
      .filter((queue) => queue.kind === kind)
      .flatMap((queue) => Object.values(queue.drops))
      .reduce((sum, count) => sum + count, 0);
  return [
    ["rx_bytes", port.rxBytes],
    ["rx_dropped", dropped("transmitq")],
    ["rx_errors", 0],
    ["rx_packets", port.rxFrames],
    ["tx_bytes", port.txBytes],
    ["tx_dropped", dropped("receiveq")],
    ["tx_errors", 0],
    ["tx_packets", port.txFrames],
  ];
}

/** A string of the database as it is printed: in quotes unless it looks like a word (ovsdb(7), "Value Format"). */
function atom(text: string): string {
  const word = /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(text) && text !== "true" && text !== "false";
  return word ? text : JSON.stringify(text);
}

/** The value of a condition, which may be given as a JSON string. */
function unquoted(value: string): string {
  if (!value.startsWith('"')) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    throw new UnknownQuery(`${value} is no string: a quote is missing`);
  }
}

function read(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UnknownQuery((error as Error).message);
  }
}

function unknown(statement: string): UnknownQuery {
  return new UnknownQuery(
    `"${statement}" is none of the questions that this program answers: get Interface NAME name, find Interface ` +
      "options:vhost-server-path=PATH, and list Interface NAME for its statistics, as libvirt asks them",
  );
}
