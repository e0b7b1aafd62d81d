// Where the control socket is when nobody says: `run` makes it there, every other command looks there.

import { join } from "node:path";

/**
 * The default path of the control socket: in the user's run-time folder, which only he may enter, else in /tmp under
 * a name with the user's number.
 */
export function defaultControlPath(
  env: Record<string, string | undefined> = process.env,
  uid: number = process.getuid?.() ?? 0,
): string {
  // The XDG base directory specification: a relative path there must be ignored.
  const folder = env.XDG_RUNTIME_DIR;
  return folder?.startsWith("/") ? join(folder, "ringbridge.sock") : `/tmp/ringbridge-${uid}.sock`;
}
