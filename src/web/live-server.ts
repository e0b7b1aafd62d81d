// The live page's server: its files, and what the page is told (src/web/live.ts). Read only: no request changes anything.
// While nobody looks it does nothing at all.

import { createServer, type Server, type ServerResponse } from "node:http";
import { hostname } from "node:os";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type Handler, Hono } from "hono";
import { pageFiles } from "../api/page-files.js";
import type { WebConfig } from "../config/web.js";
import { EventStreams, event } from "./event-streams.js";
import { guard, makeToken, SAFE_HEADERS } from "./guard.js";
import { LiveStates } from "./live-state.js";
import type { LiveSource } from "./live-source.js";
import { Pace } from "./pace.js";
import { RingStreams } from "./ring-streams.js";

/** Twice a second a plot moves, and numbers can still be read. */
const CHANGE_MS = 500;
export const LIVE_CLIENTS = 16;
/** What waits for one client: some seconds of changes. */
const BUFFER_BYTES = 1 << 20;
/** Of all kinds, also those who have not shown the token. */
const CONNECTIONS = 96;
const HEADERS_TIMEOUT_MS = 10_000;

export interface LiveOptions extends WebConfig {
  source: LiveSource;
  /** Stand-ins for tests: the page's files, and limits. */
  page?: Handler;
  bufferBytes?: number;
  clients?: number;
  changeMs?: number;
  share?: number;
}

export interface LiveServer {
  /** Where the page is, without the token. */
  readonly url: string;
  /** The same with a token that was made here; the operator knows his own. */
  readonly urlToOpen: string;
  /** Ends all connections. */
  close(): Promise<void>;
}

/** Streams are written to the socket's own response: what waits there is known, and can be cut off. */
type LiveApp = Hono<{ Bindings: HttpBindings }>;

/** The routes without a socket. `close` ends the streams. */
export function liveRoutes(options: LiveOptions & { token: string }): { app: LiveApp; close: () => void } {
  const { source, token, hosts, page = pageFiles("web") } = options;
  const limits = { clients: options.clients ?? LIVE_CLIENTS, bufferBytes: options.bufferBytes ?? BUFFER_BYTES };
  const states = new LiveStates(source);
  const streams = new EventStreams(limits);
  const rings = new RingStreams(source, limits);
  const sendChange = () => {
    if (streams.size === 0) pace.stop();
    else streams.send(event("change", states.change()));
  };
  const pace = new Pace(options.changeMs ?? CHANGE_MS, sendChange, options.share);

  const app: LiveApp = new Hono();
  app.use(guard({ token, hosts: [hostname(), ...hosts] }));
  app.get("/v1/state", (context) => context.json(states.state()));
  app.get("/v1/live", (context) => {
    if (streams.isFull) return tooMany(context.json.bind(context), limits.clients);
    if (!pace.isRunning) states.restart();
    pace.start();
    streams.open(context.env.outgoing as ServerResponse, SAFE_HEADERS, event("state", states.state()));
    return RESPONSE_ALREADY_SENT;
  });
  app.get("/v1/ring", (context) => {
    const { port = "", queue = "" } = context.req.query();
    if (!/^\d{1,5}$/.test(queue))
      return context.json({ error: `queue is the index of a virtqueue, not "${queue}"` }, 400);
    if (rings.isFull) return tooMany(context.json.bind(context), limits.clients);
    const opened = rings.open(context.env.outgoing as ServerResponse, SAFE_HEADERS, port, Number(queue));
    return opened ? RESPONSE_ALREADY_SENT : context.json({ error: `there is no port "${port}"` }, 404);
  });
  app.get("/*", page);
  app.notFound((context) => context.json({ error: `there is nothing at ${context.req.path}` }, 404));
  app.onError((error, context) => context.json({ error: error.message }, 500));
  const close = () => {
    pace.stop();
    streams.close();
    rings.close();
  };
  return { app, close };
}

type Json = (body: { error: string }, status: 503, headers: Record<string, string>) => Response;

function tooMany(json: Json, clients: number): Response {
  return json({ error: `${clients} clients look already: close one of them` }, 503, { "retry-after": "5" });
}

/**
 * Serves a switch's live page.
 * @throws Error with a sentence for the operator when nothing can listen there
 */
export async function startLiveServer(options: LiveOptions): Promise<LiveServer> {
  const { host, port } = options;
  const token = options.token ?? makeToken();
  const { app, close } = liveRoutes({ ...options, token });
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  const server = createServer((request, response) => void listener(request, response));
  server.maxConnections = CONNECTIONS;
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  await listen(server, host, port);
  const bound = (server.address() as { port: number }).port;
  const url = `http://${nameFor(host)}:${bound}/`;
  return {
    url,
    urlToOpen: options.token === undefined ? `${url}#token=${token}` : url,
    close: () =>
      new Promise((resolve) => {
        close();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What can be opened: all addresses are none. */
function nameFor(host: string): string {
  if (host === "0.0.0.0" || host === "::") return hostname();
  return host.includes(":") ? `[${host}]` : host;
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(new Error(`cannot serve the live page at ${host} port ${port}: ${listenFault(error)}`));
    });
    server.listen(port, host, resolve);
  });
}

function listenFault(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "EADDRINUSE":
      return "another program listens there: choose another port with --web, or 0 for any";
    case "EADDRNOTAVAIL":
      return "this machine does not have that address: see ip addr";
    case "EACCES":
      return "this user may not listen there: choose a port above 1023 with --web";
    default:
      return error.message;
  }
}
