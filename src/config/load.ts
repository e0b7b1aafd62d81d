// From a YAML file, --port flags and overriding flags to one checked configuration. Every problem is found in one go
// and named by file, line, column and key.

import { readFileSync } from "node:fs";
import { dirname, parse, resolve } from "node:path";
import { type CheckContext, checkFile, checkPort, type FileSettings } from "./check.js";
import { defaultControlPath } from "./control-path.js";
import { parsePortFlag } from "./flags.js";
import { type GroupLookup, lookupGroup } from "./group.js";
import { ConfigError } from "./problems.js";
import {
  AGEING_DEFAULT,
  FDB_LIMIT_DEFAULT,
  FDB_PER_PORT_DEFAULT,
  PORTS_MAX,
  type PortConfig,
  QUEUE_PAIRS_DEFAULT,
  type SwitchConfig,
} from "./schema.js";
import { joinWeb } from "./web.js";
import { parseYaml, type YamlFile } from "./yaml-file.js";

/** Where a configuration comes from. What is given outside of the file wins over the file. */
export interface ConfigSources {
  /** Path of the YAML file. Relative socket paths in it start from its folder. */
  file?: string;
  /** The file's text, when it is at hand already; `file` is then only the name in messages. */
  text?: string;
  /** Values of --port flags; their ports are added to the file's. */
  portFlags?: readonly string[];
  /** Values of --socket-path flags: each a listening port that is named as its file. */
  socketPaths?: readonly string[];
  /** Values of --fd flags: each a port on a socket that the process was started with. */
  fds?: readonly string[];
  /** Values of the flags of the same name, not checked yet. */
  flags?: { workers?: unknown; poll?: unknown; control?: unknown; web?: { listen?: unknown; token?: unknown } };
  /** Stand-ins for the machine, in tests. */
  env?: Record<string, string | undefined>;
  lookupGroup?: GroupLookup;
}

/** Those below are standard input, output and error. */
const FIRST_FD = 3;

const FLAG_OF = { listen: "--web", token: "--web-token" } as const;

/** A port and where it was written, for messages about two ports that do not go together. */
interface PlacedPort {
  port: PortConfig;
  where: string;
}

/**
 * Reads and checks a whole configuration.
 * @throws ConfigError with a line for each problem; also when the file cannot be read
 */
export function loadConfig(sources: ConfigSources): SwitchConfig {
  const context: CheckContext = { folder: process.cwd(), lookupGroup: sources.lookupGroup ?? lookupGroup };
  const lines: string[] = [];
  const ports: PlacedPort[] = [];

  const read = sources.file === undefined ? undefined : readFile(sources.file, sources.text, context, ports, lines);
  const settings = read?.settings;
  for (const flag of sources.portFlags ?? []) {
    try {
      ports.push({ port: parsePortFlag(flag, context), where: `--port ${flag}` });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      lines.push(...error.lines);
    }
  }
  for (const path of sources.socketPaths ?? []) {
    const where = `--socket-path ${path}`;
    const { port, problems } = checkPort(portNameOf(path), { listen: path }, context);
    if (port !== undefined) ports.push({ port, where });
    lines.push(...problems.map(({ text }) => `${where}: ${text}`));
  }
  for (const value of sources.fds ?? []) {
    if (!/^\d{1,6}$/.test(value) || Number(value) < FIRST_FD) {
      lines.push(`--fd ${value}: must be the number of an open socket, ${FIRST_FD} or more`);
      continue;
    }
    const port: PortConfig = {
      ...{ name: `fd${Number(value)}`, role: "inherit", path: `descriptor ${Number(value)}` },
      ...{ fd: Number(value), queues: QUEUE_PAIRS_DEFAULT },
    };
    ports.push({ port, where: `--fd ${value}` });
  }
  const given = Object.entries(sources.flags ?? {}).filter(([, value]) => value !== undefined);
  const flags = checkFile(Object.fromEntries(given), context);
  lines.push(...flags.problems.map(({ path, text }) => `--${path.join("-").replace("web-listen", "web")}: ${text}`));

  const control = flags.settings?.control ?? settings?.control ?? defaultControlPath(sources.env);
  lines.push(...conflicts(ports, control));
  const environment = sources.env ?? process.env;
  const web = joinWeb(settings?.web, flags.settings?.web, environment.RINGBRIDGE_WEB_TOKEN);
  if (web.fault !== undefined) {
    const { key, by, text } = web.fault;
    const inFile = () => `${read!.locate(["web", key], "value")}: web.${key}`;
    const where = { flag: () => FLAG_OF[key], variable: () => "RINGBRIDGE_WEB_TOKEN", file: inFile };
    lines.push(`${where[by]()}: ${text}`);
  }
  if (lines.length > 0) throw new ConfigError(lines);
  return {
    workers: flags.settings?.workers ?? settings?.workers ?? 1,
    poll: flags.settings?.poll ?? settings?.poll ?? false,
    spinUs: settings?.spinUs ?? 50,
    control,
    ...(web.config !== undefined && { web: web.config }),
    fdb: settings?.fdb ?? { ageing: AGEING_DEFAULT, limit: FDB_LIMIT_DEFAULT, perPortLimit: FDB_PER_PORT_DEFAULT },
    ports: ports.map(({ port }) => port),
  };
}

interface ReadFile {
  settings: FileSettings | undefined;
  locate: YamlFile["locate"];
}

/** Reads one file; adds its ports and problems to the lists. */
function readFile(
  file: string,
  text: string | undefined,
  context: CheckContext,
  ports: PlacedPort[],
  lines: string[],
): ReadFile {
  let content: string;
  try {
    content = text ?? readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError([`${file}: ${readFault(error as NodeJS.ErrnoException)}`]);
  }
  const yaml = parseYaml(content, file);
  if (yaml.lines.length > 0) throw new ConfigError(yaml.lines);
  const checked = checkFile(yaml.value, { ...context, folder: dirname(resolve(file)) });
  for (const { path, at, text } of checked.problems) {
    lines.push(`${yaml.locate(path, at)}: ${[path.join("."), text].filter(Boolean).join(": ")}`);
  }
  for (const port of checked.ports) ports.push({ port, where: yaml.locate(["ports", port.name, port.role], "value") });
  return { settings: checked.settings, locate: yaml.locate };
}

function readFault(error: NodeJS.ErrnoException): string {
  if (error.code === "ENOENT") return "there is no such file: check the path, or give ports with --port";
  if (error.code === "EACCES") return "may not be read by this user: check the permissions of the file and its folders";
  if (error.code === "EISDIR") return "is a folder: give the path of the YAML file in it";
  return `cannot be read: ${error.message}`;
}

/** Too many ports, two of one name (only flags can do that: YAML refuses a key twice), two sockets of one path. */
function conflicts(ports: readonly PlacedPort[], control: string): string[] {
  const lines: string[] = [];
  const surplus = ports[PORTS_MAX];
  if (surplus !== undefined) {
    lines.push(`${surplus.where}: ports: ${ports.length} ports are too many for one switch, which has ${PORTS_MAX}`);
  }
  const names = new Map<string, string>();
  const paths = new Map<string, string>([[control, "the control socket"]]);
  for (const { port, where } of ports) {
    const sameName = names.get(port.name);
    if (sameName !== undefined) {
      lines.push(`${where}: there is a port "${port.name}" already (${sameName}): give one of them another name`);
    } else {
      names.set(port.name, where);
    }
    const samePath = paths.get(port.path);
    if (samePath !== undefined) {
      lines.push(`${where}: ports.${port.name}: ${port.path} is taken by ${samePath}: each needs a path of its own`);
    } else {
      paths.set(port.path, `port "${port.name}" (${where})`);
    }
  }
  return lines;
}

/** A port's name for a socket's path: the file's, without its ending, in the characters that a name may have. */
function portNameOf(path: string): string {
  const name = parse(path).name.replace(/[^A-Za-z0-9._-]/g, "-");
  return name.slice(0, 32) || "vhost-user";
}
