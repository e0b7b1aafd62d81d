// The address of the live page: what may be written there, and the rule that only this machine may look without a token
// of the operator's choice.

import { isIP } from "node:net";
import { z } from "zod";
import { describeValue } from "./problems.js";

/** Where a running switch shows itself to browsers. */
export interface WebConfig {
  /** An IP address, IPv6 without brackets. */
  host: string;
  /** 0: any that is free. */
  port: number;
  /** What a browser must show; absent, on loopback only: one is made at each start. */
  token?: string;
  /** Names under which browsers may reach it, beside IP addresses, localhost and the machine's own name. */
  hosts: readonly string[];
}

/** As it is written, in parts that may be given in different places. */
export interface WebSettings {
  listen?: { host: string; port: number };
  token?: string;
  hosts?: readonly string[];
}

export const WEB_KEYS = ["listen", "token", "hosts"];

const ADDRESS = "must be an address such as 127.0.0.1:8080, [::1]:8080 or localhost:8080";
/** What can stand in a URL as it is. Shorter ones could be guessed. */
const TOKEN = /^[A-Za-z0-9._~-]{16,128}$/;
const TOKEN_RULE =
  "must be 16 to 128 letters, digits, dots, dashes, underscores or tildes (openssl rand -hex 16 makes one)";
const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/;

/** HOST:PORT, or a port alone, which is one of 127.0.0.1. Undefined when the text is neither. */
export function parseWebAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:]+)):)?(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, six, four = "127.0.0.1", digits] = match;
  const host = six ?? (four.toLowerCase() === "localhost" ? "127.0.0.1" : four);
  const port = Number(digits);
  return port <= 65_535 && isIP(host) === (six === undefined ? 4 : 6) ? { host, port } : undefined;
}

/** Whether only programs of this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host.startsWith("127.") || /^(0{0,4}:){2,7}0{0,3}1$/.test(host);
}

/** The section of the file; the flags have the same values. */
export const WebSchema = z.strictObject(
  {
    listen: z
      .custom<string | number>((value) => parseWebAddress(String(value)) !== undefined, {
        error: (issue) => `${ADDRESS}, not ${describeValue(issue.input)}`,
      })
      .transform((value) => parseWebAddress(String(value))!)
      .optional(),
    token: z
      .custom<string>((value) => typeof value === "string" && TOKEN.test(value), {
        // A secret, also when it is a bad one: it is not repeated.
        error: TOKEN_RULE,
      })
      .optional(),
    hosts: z
      .array(
        z.custom<string>((value) => typeof value === "string" && HOST_NAME.test(value), {
          error: (issue) => `must be a host name such as switch1.example.org, not ${describeValue(issue.input)}`,
        }),
        { error: (issue) => `must be a list of host names, not ${describeValue(issue.input)}` },
      )
      .optional(),
  },
  { error: (issue) => `must be an address or a map of ${WEB_KEYS.join(", ")}, not ${describeValue(issue.input)}` },
);

/** What came of settings from several places: a configuration, or a fault and where that was written. */
export interface JoinedWeb {
  config?: WebConfig;
  fault?: { key: "listen" | "token"; by: "flag" | "variable" | "file"; text: string };
}

/** Flags win over the environment's token, and that over the file. */
export function joinWeb(file: WebSettings = {}, flags: WebSettings = {}, variable: string | undefined): JoinedWeb {
  const listen = flags.listen ?? file.listen;
  if (listen === undefined) {
    if (flags.token === undefined && file.token === undefined) return {};
    const by = flags.token === undefined ? "file" : "flag";
    return { fault: { key: "token", by, text: "nothing listens: give an address too (--web or web.listen)" } };
  }
  if (flags.token === undefined && variable && !TOKEN.test(variable)) {
    return { fault: { key: "token", by: "variable", text: TOKEN_RULE } };
  }
  const token = flags.token ?? (variable || file.token);
  if (token === undefined && !isLoopback(listen.host)) {
    const text =
      `${listen.host} can be reached from other machines: give the token that browsers must show ` +
      "(--web-token, web.token or RINGBRIDGE_WEB_TOKEN; openssl rand -hex 16 makes one), or listen on 127.0.0.1";
    return { fault: { key: "listen", by: flags.listen === undefined ? "file" : "flag", text } };
  }
  return { config: { ...listen, hosts: file.hosts ?? [], ...(token !== undefined && { token }) } };
}
