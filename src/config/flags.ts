// A port written on the command line: "vm1=listen:/path[,mode=0660][,group=kvm][,queues=4]".

import { type CheckContext, checkPort } from "./check.js";
import { lookupGroup } from "./group.js";
import { ConfigError } from "./problems.js";
import type { PortConfig } from "./schema.js";

const FORM = "NAME=listen:PATH or NAME=connect:PATH, then ,mode=0660 ,group=kvm ,queues=4 as needed";
/** Keys whose values are numbers. */
const NUMBERS = ["queues", "mtu"];
/** Keys whose values are true or false. */
const SWITCHES = ["offloads", "iommu", "postcopy", "admin-state-up"];

/**
 * Reads the value of one --port flag. Relative paths start from the working folder. A comma ends the path, so a path
 * with a comma needs a configuration file.
 * @throws ConfigError with a line for each thing that is wrong
 */
export function parsePortFlag(
  flag: string,
  context: CheckContext = { folder: process.cwd(), lookupGroup },
): PortConfig {
  const fail = (lines: string[]): never => {
    throw new ConfigError(lines.map((line) => `--port ${flag}: ${line}`));
  };
  const [head = "", ...options] = flag.split(",");
  const match = /^([^=]*)=(\w*):(.*)$/.exec(head);
  if (match === null) return fail([`is not of the form ${FORM}`]);
  const [, name = "", role = "", path] = match;
  if (role !== "listen" && role !== "connect") return fail([`"${role}" is neither "listen" nor "connect": ${FORM}`]);

  const lines: string[] = [];
  const raw: Record<string, unknown> = { [role]: path };
  for (const option of options) {
    const equals = option.indexOf("=");
    const key = equals < 0 ? option : option.slice(0, equals);
    const value = equals < 0 ? "" : option.slice(equals + 1);
    if (equals < 0) lines.push(`"${option}" has no value: write ${option || "queues"}=VALUE`);
    else if (Object.hasOwn(raw, key)) lines.push(`${key}: is given twice`);
    else raw[key] = fromText(key, value);
  }
  const { port, problems } = checkPort(name, raw, context);
  for (const { path: keys, text } of problems) lines.push([...keys.slice(1), text].join(": "));
  return port !== undefined && lines.length === 0 ? port : fail(lines);
}

/** On a command line all is text. */
function fromText(key: string, text: string): unknown {
  if (NUMBERS.includes(key) && /^\d+$/.test(text)) return Number(text);
  if (SWITCHES.includes(key) && /^(true|false)$/.test(text)) return text === "true";
  return text;
}
