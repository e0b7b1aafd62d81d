// Captures on the control socket.
//
//   GET    /v1/capture?port=vm1&port=vm2[&snaplen=N][&count=N][&filter=EXPRESSION]
//          a pcapng file that is written while frames come: an interface for each port, at the end what each has counted.
//          The header Ringbridge-Capture has the capture's number. Whoever stops reading ends it.
//   DELETE /v1/capture/NUMBER
//          the file comes to its end

import type { Context, Hono } from "hono";
import { FilterError } from "../capture/filter.js";
import { FRAME_MAX } from "../core/layout.js";
import { CAPTURE_HEADER, type CaptureOptions, type CaptureStream, type SwitchControl } from "./status.js";

export function captureRoutes(app: Hono, control: SwitchControl): void {
  app.get("/v1/capture", async (context) => {
    const known = control.status().ports.map(({ name }) => name);
    const ports = [...new Set(context.req.queries("port") ?? [])];
    const unknown = ports.find((port) => !known.includes(port));
    if (unknown !== undefined) {
      return context.json({ error: `there is no port "${unknown}": the ports are ${known.join(", ") || "none"}` }, 404);
    }
    let stream: CaptureStream;
    try {
      stream = await control.capture(readOptions(context, ports));
    } catch (error) {
      if (!(error instanceof FilterError || error instanceof QueryError)) throw error;
      return context.json({ error: error.message }, 400);
    }
    return context.body(readable(stream), 200, {
      "content-type": "application/x-pcapng",
      [CAPTURE_HEADER]: String(stream.id),
    });
  });
  app.delete("/v1/capture/:id", (context) => {
    const id = context.req.param("id");
    if (!/^\d{1,15}$/.test(id) || !control.stopCapture(Number(id))) {
      return context.json({ error: `there is no capture ${id}` }, 404);
    }
    return context.json({});
  });
}

class QueryError extends Error {}

function readOptions(context: Context, ports: readonly string[]): CaptureOptions {
  if (ports.length === 0) throw new QueryError("a capture needs at least one port");
  const number = (key: string, most: number) => {
    const text = context.req.query(key);
    if (text === undefined) return undefined;
    const value = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : 0;
    if (value < 1 || value > most) throw new QueryError(`${key} is a whole number from 1 to ${most}, not "${text}"`);
    return value;
  };
  return {
    ports,
    snapLength: number("snaplen", FRAME_MAX),
    count: number("count", Number.MAX_SAFE_INTEGER),
    filter: context.req.query("filter"),
  };
}

/** Asks for a piece when the one before is on its way: nothing is kept for a client that does not read. */
function readable(stream: CaptureStream): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream(
    {
      async pull(controller) {
        const piece = await stream.next();
        if (piece === null) controller.close();
        else controller.enqueue(piece);
      },
      cancel: () => stream.abandon(),
    },
    { highWaterMark: 0 },
  );
}
