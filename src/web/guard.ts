// Who may look at the live page: whoever shows the token. And what a browser may be talked into by other pages: nothing.
//
// The token is in the part of the URL behind "#", which browsers keep to themselves; the page sends it in a header that no
// other page can set. The page's own files are no secret, and come without it.

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import type { Context, MiddlewareHandler } from "hono";

/** Whose files come without the token; all else is data. */
const DATA = "/v1/";

/** Of every answer. */
export const SAFE_HEADERS = {
  // All comes from here; scripts and styles from files only.
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

export interface GuardOptions {
  token: string;
  /** Names under which browsers may reach the page, beside IP addresses and localhost. */
  hosts: readonly string[];
}

/** A token that nobody guesses: 128 bits. */
export function makeToken(): string {
  return randomBytes(16).toString("hex");
}

/** Looks at every request first. Answers {"error": text} with 403 for a wrong host or origin, 401 without the token, 405 for all but GET. */
export function guard({ token, hosts }: GuardOptions): MiddlewareHandler {
  const wanted = digest(token);
  const names = new Set(["localhost", ...hosts.map((name) => name.toLowerCase())]);
  return async (context, next) => {
    for (const [name, value] of Object.entries(SAFE_HEADERS)) context.header(name, value);
    const { method, path } = context.req;
    const host = context.req.header("host") ?? "";
    if (!isKnown(host, names)) {
      // A page of that name, whose owner has it lead to this machine, must learn nothing (DNS rebinding).
      return refuse(
        context,
        403,
        `this page is not at "${host.slice(0, 100)}": use its address, or list the name in web.hosts`,
      );
    }
    const origin = context.req.header("origin");
    if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
      return refuse(context, 403, "only the page itself may ask");
    }
    if (method !== "GET" && method !== "HEAD") {
      context.header("allow", "GET, HEAD");
      return refuse(context, 405, `nothing can be changed here: ${path} takes GET, not ${method}`);
    }
    if (!path.startsWith(DATA)) return next();
    const [, shown = ""] = /^Bearer +(\S+)$/i.exec(context.req.header("authorization") ?? "") ?? [];
    // Digests have one length, and comparing them takes one time.
    if (!timingSafeEqual(digest(shown), wanted)) {
      context.header("www-authenticate", 'Bearer realm="ringbridge"');
      return refuse(context, 401, "the token is missing or wrong: it stands in the URL that ringbridge run prints");
    }
    return next();
  };
}

function refuse(context: Context, status: 401 | 403 | 405, error: string) {
  return context.json({ error }, status);
}

function isKnown(host: string, names: ReadonlySet<string>): boolean {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:]+))(?::\d{1,5})?$/.exec(host);
  if (match === null) return false;
  const [, six, name = ""] = match;
  // Nobody can make an address lead elsewhere.
  return six === undefined ? isIP(name) === 4 || names.has(name.toLowerCase()) : isIP(six) === 6;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
