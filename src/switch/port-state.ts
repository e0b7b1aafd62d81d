// What a port takes along when its guest moves to another switch (vhost-user DEVICE_STATE): the addresses learned on it
// and its counters. A small JSON document with a version; whatever else comes is refused whole.

import { z } from "zod";
import type { Bridge } from "../core/bridge.js";
import type { BridgePort } from "../core/bridge-port.js";
import { DROP_CAUSE_NAMES } from "../core/causes.js";

/** A full table of the largest size takes less than half of this. */
export const PORT_STATE_BYTES_MAX = 4 * 1024 * 1024;

const FORMAT = "ringbridge-port";
const VERSION = 1;
const QUEUES_MAX = 256;
const ADDRESSES_MAX = 65_536;

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const portState = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  /** Learned addresses, each with the seconds since it was last seen. */
  addresses: z.array(z.tuple([z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/), count])).max(ADDRESSES_MAX),
  queues: z
    .array(
      z.strictObject({
        index: z
          .number()
          .int()
          .nonnegative()
          .max(QUEUES_MAX - 1),
        frames: count,
        bytes: count,
        calls: count,
        drops: z.record(z.string(), count),
      }),
    )
    .max(QUEUES_MAX),
});

/** The port's state as bytes. `now` on the FDB's clock, in seconds. */
export function savePortState(bridge: Bridge, port: BridgePort, now: number): Uint8Array {
  const addresses = bridge
    .fdbEntries()
    .filter((entry) => entry.port === port.id)
    .map(({ mac, seen }): [string, number] => [mac, Math.max(0, now - seen)]);
  const queues = [...port.queues.values()].map((queue) => {
    const { frames, bytes, calls, drops } = queue.counters();
    const named = drops.map((dropped, cause): [string, number] => [DROP_CAUSE_NAMES[cause]!, dropped]);
    return { index: queue.index, frames, bytes, calls, drops: Object.fromEntries(named.filter(([, n]) => n > 0)) };
  });
  return new TextEncoder().encode(JSON.stringify({ format: FORMAT, version: VERSION, addresses, queues }));
}

/**
 * Takes over a state that was saved: its addresses are behind this port from now on, its counters are added to the
 * port's. No ring of the port may run.
 * @throws Error with a sentence when the bytes are no such state; then nothing has changed
 */
export function loadPortState(bridge: Bridge, port: BridgePort, bytes: Uint8Array, now: number): void {
  const { addresses, queues } = parse(bytes);
  for (const [mac, age] of addresses) bridge.learn(port, mac, Math.max(0, now - age));
  for (const { index, drops, ...counters } of queues) {
    // A cause that this version does not know has no counter here.
    const byCause = DROP_CAUSE_NAMES.map((name) => drops[name] ?? 0);
    bridge.queue(port, index).addCounters({ ...counters, drops: byCause });
  }
}

function parse(bytes: Uint8Array): z.infer<typeof portState> {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Error(`the state that came (${bytes.length} bytes) is no JSON document`);
  }
  const result = portState.safeParse(document);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw new Error(`the state that came is not one of ringbridge, version ${VERSION}: ${path.join(".")}: ${message}`);
}
