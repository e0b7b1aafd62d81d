// From the plain values of a file or a flag to the typed parts of a configuration: runs the schema, then the rules
// that join several keys. Collects every problem; knows nothing of YAML, files or command lines.

import { resolve } from "node:path";
import type { z } from "zod";
import type { GroupLookup } from "./group.js";
import { describeValue, didYouMean, type Problem } from "./problems.js";
import {
  AGEING_DEFAULT,
  FDB_KEYS,
  FDB_LIMIT_DEFAULT,
  FDB_PER_PORT_DEFAULT,
  FILE_KEYS,
  type FdbConfig,
  FileSchema,
  PORT_KEYS,
  PORT_NAME,
  type PortConfig,
  PortSchema,
  QUEUE_PAIRS_DEFAULT,
  SOCKET_PATH_MAX,
} from "./schema.js";
import { WEB_KEYS, type WebSettings } from "./web.js";

/** What the checks need to know of the machine. */
export interface CheckContext {
  /** Folder that relative socket paths start from. */
  folder: string;
  lookupGroup: GroupLookup;
}

/** The settings of a file that are not ports; absent ones were not written. */
export interface FileSettings {
  workers?: number;
  poll?: boolean;
  spinUs?: number;
  control?: string;
  web?: WebSettings;
  fdb: FdbConfig;
}

/** What came of checking a whole file: `settings` is there when the part outside of ports has no problem. */
export interface CheckedFile {
  settings?: FileSettings;
  ports: PortConfig[];
  problems: Problem[];
}

/** The keys that a section may have. */
const KEYS: Record<string, readonly string[]> = { fdb: FDB_KEYS, web: WEB_KEYS };

/** Checks the plain value of a whole file. Null (an empty file) counts as an empty map. Never throws. */
export function checkFile(value: unknown, context: CheckContext): CheckedFile {
  const raw = value ?? {};
  if (!isMap(raw)) {
    const text = `the file must be a map with keys such as "ports", not ${describeValue(raw)}`;
    return { ports: [], problems: [{ path: [], at: "value", text }] };
  }
  // An address alone stands for the map that has nothing else.
  const short = typeof raw.web === "string" || typeof raw.web === "number";
  const parsed = FileSchema.safeParse(short ? { ...raw, web: { listen: raw.web } } : raw);
  const problems = parsed.success ? [] : problemsOf(parsed.error, [], (path) => KEYS[path[0] ?? ""] ?? FILE_KEYS);

  const ports: PortConfig[] = [];
  if (isMap(raw.ports)) {
    for (const [name, port] of Object.entries(raw.ports)) {
      const checked = checkPort(name, port, context);
      problems.push(...checked.problems.map((problem) => ({ ...problem, path: ["ports", ...problem.path] })));
      if (checked.port) ports.push(checked.port);
    }
  } else if (raw.ports !== undefined && raw.ports !== null) {
    const wanted = "must be a map from port names to ports, such as vm1: { listen: /run/vm1.sock }";
    problems.push({ path: ["ports"], at: "value", text: `${wanted}, not ${describeValue(raw.ports)}` });
  }
  if (!parsed.success) return { ports, problems };

  const file = parsed.data;
  const limit = file.fdb?.limit ?? FDB_LIMIT_DEFAULT;
  // A share that was not written follows a smaller table; one that was written must make sense.
  const perPortLimit = file.fdb?.["per-port-limit"] ?? Math.min(FDB_PER_PORT_DEFAULT, limit);
  if (perPortLimit > limit) {
    const text = `${perPortLimit} is more than the whole table holds: at most fdb.limit, ${limit}`;
    problems.push({ path: ["fdb", "per-port-limit"], at: "value", text });
  }
  const control = file.control === undefined ? undefined : absolute(file.control, context, ["control"], problems);
  const settings: FileSettings = {
    fdb: { ageing: file.fdb?.ageing ?? AGEING_DEFAULT, limit, perPortLimit },
    ...(file.workers !== undefined && { workers: file.workers }),
    ...(file.poll !== undefined && { poll: file.poll }),
    ...(file["spin-us"] !== undefined && { spinUs: file["spin-us"] }),
    ...(control !== undefined && { control }),
    ...(file.web !== undefined && { web: file.web }),
  };
  return { settings, ports, problems };
}

/** Checks one port's plain value. The problems' paths start with the port's name. Never throws. */
export function checkPort(
  name: string,
  value: unknown,
  context: CheckContext,
): { port?: PortConfig; problems: Problem[] } {
  const problems: Problem[] = [];
  const report = (key: string | undefined, at: Problem["at"], text: string) =>
    problems.push({ path: key === undefined ? [name] : [name, key], at, text });

  if (!PORT_NAME.test(name)) {
    report(undefined, "key", "a port's name is 1 to 32 letters, digits, dots, dashes or underscores");
  }
  if (!isMap(value)) {
    report(undefined, "value", `must be a map with "listen" or "connect", not ${describeValue(value)}`);
    return { problems };
  }
  const listens = Object.hasOwn(value, "listen");
  const connects = Object.hasOwn(value, "connect");
  if (listens && connects) {
    report("connect", "key", 'a port has either "listen" or "connect": remove one of them');
  } else if (!listens && !connects) {
    report(undefined, "key", 'needs "listen: PATH" (QEMU connects to us) or "connect: PATH" (QEMU has server=on)');
  }
  if (connects && !listens) {
    for (const key of ["mode", "group"].filter((key) => Object.hasOwn(value, key))) {
      report(key, "key", "belongs to a listening socket, and this one is made by the other side: remove it");
    }
  }
  const parsed = PortSchema.safeParse(value);
  if (!parsed.success) {
    problems.push(...problemsOf(parsed.error, [name], () => PORT_KEYS));
    return { problems };
  }
  const role = listens ? "listen" : "connect";
  const path = absolute(parsed.data[role] ?? "", context, [name, role], problems);
  const port: PortConfig = { name, role, path, queues: parsed.data.queues ?? QUEUE_PAIRS_DEFAULT };
  if (parsed.data.mode !== undefined) port.mode = parsed.data.mode;
  if (parsed.data.mac !== undefined) port.mac = parsed.data.mac;
  if (parsed.data.mtu !== undefined) port.mtu = parsed.data.mtu;
  // What there is without them: to write it changes nothing.
  if (parsed.data.offloads === false) port.offloads = false;
  if (parsed.data.iommu === true) port.iommu = true;
  if (parsed.data.postcopy === true) port.postcopy = true;
  if (port.iommu && port.postcopy) {
    report("postcopy", "key", "a guest behind a virtual IOMMU can not be moved by postcopy: remove it, or iommu");
  }
  if (parsed.data["admin-state-up"] === false) port.adminStateUp = false;
  if (parsed.data.group !== undefined) {
    const gid = context.lookupGroup(parsed.data.group);
    if (gid === undefined) {
      report("group", "value", `there is no group "${parsed.data.group}" here: see "getent group", or add it`);
    } else {
      port.group = parsed.data.group;
      port.gid = gid;
    }
  }
  return problems.length === 0 ? { port, problems } : { problems };
}

/** Makes a socket path absolute and checks that the kernel can take it. */
function absolute(path: string, context: CheckContext, key: string[], problems: Problem[]): string {
  const full = resolve(context.folder, path);
  const bytes = Buffer.byteLength(full);
  if (bytes > SOCKET_PATH_MAX) {
    const long = `${bytes} bytes are too long for a unix socket, which takes ${SOCKET_PATH_MAX}`;
    problems.push({ path: key, at: "value", text: `${long}: use a shorter folder (${full})` });
  }
  return full;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** zod's issues as problems: each unknown key becomes a problem of its own, at the key. */
function problemsOf(error: z.ZodError, prefix: string[], keysAt: (path: string[]) => readonly string[]): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    const path = issue.path.map(String);
    if (issue.code !== "unrecognized_keys") return [{ path: [...prefix, ...path], at: "value", text: issue.message }];
    const known = keysAt(path);
    return issue.keys.map((key) => ({
      path: [...prefix, ...path, key],
      at: "key",
      text: `unknown key${didYouMean(key, known) || `; the keys here are ${known.join(", ")}`}`,
    }));
  });
}
