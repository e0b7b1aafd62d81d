// Ports that come and go over the control socket: PUT and DELETE /v1/ports/NAME.

import type { Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { SwitchControl } from "./status.js";

/** Many times what a port takes. Bytes. */
const BODY_MAX = 64 * 1024;
/** Whose a port is when who plugs it does not say. */
const ANYBODY = "anybody";

export function portRoutes(app: Hono, control: SwitchControl): void {
  const owner = (context: Context) => context.req.query("owner") ?? ANYBODY;
  const limit = bodyLimit({
    maxSize: BODY_MAX,
    onError: (context) => context.json({ error: `a port takes at most ${BODY_MAX} bytes of JSON` }, 413),
  });
  app.put("/v1/ports/:name", limit, async (context) => {
    let port: unknown;
    try {
      port = await context.req.json();
    } catch (error) {
      return context.json({ error: `the port is no JSON: ${(error as Error).message}` }, 400);
    }
    return context.json(await control.plug(context.req.param("name"), port, owner(context)));
  });
  app.delete("/v1/ports/:name", async (context) => {
    return context.json({ removed: await control.unplug(context.req.param("name"), owner(context)) });
  });
}
