// `ringbridge explore`: serves the explorer on loopback until a signal ends it. Nothing is opened: the URL is printed.

import type { AddressInfo } from "node:net";
import { createServer } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { pageFiles } from "../api/page-files.js";
import type { Io } from "./io.js";

export interface ExploreFlags {
  /** TCP port; 0 takes any that is free. */
  port?: number;
}

const HOST = "127.0.0.1";
const DEFAULT_PORT = 7070;

/** Runs until SIGINT or SIGTERM; resolves to the exit code. Rejects when the page was not built or the port is taken. */
export async function exploreCommand(flags: ExploreFlags, io: Io): Promise<number> {
  const app = new Hono().get("*", pageFiles("explore"));
  const server = createServer(getRequestListener(app.fetch));
  const port = await listen(server, flags.port);
  io.stdout.write(`ringbridge explore: http://${HOST}:${port}/ (Ctrl-C ends it)\n`);
  await new Promise<void>((resolve) => {
    const end = () => {
      for (const name of ["SIGINT", "SIGTERM"] as const) io.signals.off(name, end);
      resolve();
    };
    for (const name of ["SIGINT", "SIGTERM"] as const) io.signals.on(name, end);
  });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return 0;
}

/** Listens where it was asked to; without a wish at the usual port, or at any when that is taken. Gives the port. */
async function listen(server: ReturnType<typeof createServer>, wish: number | undefined): Promise<number> {
  const attempt = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, HOST, () => {
        server.off("error", reject);
        resolve();
      });
    });
  try {
    await attempt(wish ?? DEFAULT_PORT);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    if (wish !== undefined) throw new Error(`port ${wish} of ${HOST} is taken: give another one with --port, or none`);
    await attempt(0);
  }
  return (server.address() as AddressInfo).port;
}
