// The control socket: HTTP with JSON over a unix socket that only the switch's own user may open.
//
//   GET  /v1/version            VersionStatus
//   GET  /v1/status             SwitchStatus
//   GET  /v1/fdb                FdbEntryStatus[]
//   POST /v1/fdb/flush[?port=]  {"flushed": number}
//   POST /v1/reload             ReloadResult
//   PUT  /v1/ports/NAME[?owner=]     a port as a configuration file has it, JSON: PlugResult
//   DELETE /v1/ports/NAME[?owner=]   {"removed": boolean}
//   GET  /v1/capture?port=…     pcapng as it comes (src/api/capture-route.ts)
//   DELETE /v1/capture/ID       ends a capture: {}
//
// A failure is {"error": text}: 400 for a query that makes no sense, 404 for what does not exist, 405 for a wrong method,
// 409 for a port that does not go together with others, 413 for a body that is too long, 422 for a configuration that is
// not accepted (a line of text for each problem), 500 for anything else.

import { createServer, type Server } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { ConfigError } from "../config/problems.js";
import { captureRoutes } from "./capture-route.js";
import { PortConflict } from "./live-ports.js";
import { portRoutes } from "./port-routes.js";
import { claimSocketPath } from "../sys/stale.js";
import type { SwitchControl, VersionStatus } from "./status.js";

/** Raised when a client of an older number would misread the answers. */
export const API_NUMBER = 1;

export interface ControlServerOptions {
  /** Path of the socket. */
  path: string;
  control: SwitchControl;
}

export interface ControlServer {
  readonly path: string;
  /** Stops answering, ends open connections and removes the socket. */
  close(): Promise<void>;
}

/** The routes without a socket, as a fetch-style application. */
export function controlRoutes(control: SwitchControl): Hono {
  const app = new Hono();
  app.get("/v1/version", (context) => {
    const { version, pid } = control.status();
    return context.json<VersionStatus>({ name: "ringbridge", version, api: API_NUMBER, pid });
  });
  app.get("/v1/status", (context) => context.json(control.status()));
  app.get("/v1/fdb", (context) => context.json(control.fdb()));
  app.post("/v1/fdb/flush", (context) => {
    const port = context.req.query("port");
    const ports = control.status().ports.map(({ name }) => name);
    if (port !== undefined && !ports.includes(port)) {
      return context.json({ error: `there is no port "${port}": the ports are ${ports.join(", ") || "none"}` }, 404);
    }
    return context.json({ flushed: control.flushFdb(port) });
  });
  captureRoutes(app, control);
  portRoutes(app, control);
  app.post("/v1/reload", async (context) => context.json(await control.reload()));

  for (const { path, allow } of [
    { path: "/v1/version", allow: "GET" },
    { path: "/v1/status", allow: "GET" },
    { path: "/v1/fdb", allow: "GET" },
    { path: "/v1/fdb/flush", allow: "POST" },
    { path: "/v1/reload", allow: "POST" },
    { path: "/v1/ports/:name", allow: "PUT, DELETE" },
    { path: "/v1/capture", allow: "GET" },
    { path: "/v1/capture/:id", allow: "DELETE" },
  ]) {
    app.all(path, (context) => {
      return context.json({ error: `${context.req.path} takes ${allow}, not ${context.req.method}` }, 405, {
        Allow: allow,
      });
    });
  }
  app.notFound((context) => context.json({ error: `there is nothing at ${context.req.path}` }, 404));
  app.onError((error, context) => context.json({ error: error.message }, statusOf(error)));
  return app;
}

function statusOf(error: Error): 409 | 422 | 500 {
  if (error instanceof ConfigError) return 422;
  return error instanceof PortConflict ? 409 : 500;
}

/**
 * Serves `control` on a unix socket with mode 0600. A socket that a dead switch left there is replaced.
 * @throws SocketPathError when a live process listens at the path, something else is there, or its folder is missing;
 *   Error with a sentence for the operator when the socket cannot be made for another reason
 */
export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const { path, control } = options;
  claimSocketPath(path);
  const listener = getRequestListener(controlRoutes(control).fetch, { overrideGlobalObjects: false });
  const server = createServer((request, response) => void listener(request, response));
  await listenPrivately(server, path);
  return {
    path,
    close: () =>
      new Promise((resolve) => {
        // Node removes the socket's file when it stops listening.
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Listens with mode 0600 from the first moment on: bind(2) runs inside `listen`, then the umask is put back. */
function listenPrivately(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(new Error(`cannot make the control socket ${path}: ${listenFault(error)}`)));
    server.once("listening", resolve);
    const umask = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(umask);
    }
  });
}

function listenFault(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "this user may not write in its folder: choose another path with --control";
    case "EADDRINUSE":
      return "somebody else took the path just now: stop who uses it, or choose another path with --control";
    default:
      return error.message;
  }
}
