// The forwarding database: found, not found, seen again, new; with few addresses and with many.

import { TestGuest } from "../../test/core/support/bench-guest.js";
import { TestSwitch } from "../../test/core/support/test-switch.js";
import { type Case, expect, numbers, partsOf } from "./lab.js";

const LOOKUPS = 4096;
const NEW = 1024;
const SIZES = [2, 1000, 60_000];

/** Unicast addresses as numbers whose first octet is the lowest byte; the same for the same `i`. */
function address(i: number): bigint {
  return (BigInt(i + 1) << 16n) | 0x02n;
}

export async function fdb(): Promise<Case[]> {
  const cases: Case[] = [];
  for (const size of SIZES) {
    const sw = new TestSwitch({ fdb: { limit: 65_536, portLimit: 65_536 } });
    const port = (await TestGuest.create(sw, { rxBuffers: 0 })).port.id;
    const parts = partsOf(sw);
    const core = sw.bridge.core.at;
    const known = numbers(
      sw,
      Array.from({ length: size }, (_, i) => address(i)),
    );
    expect("addresses learned", parts.learnAll(core, known, size, port, 1), size);
    // In an order that no cache foresees.
    const order = Array.from({ length: LOOKUPS }, (_, i) => (i * 7919) % size);
    const hits = numbers(sw, order.map(address));
    const misses = numbers(
      sw,
      order.map((i) => address(i + 1_000_000)),
    );
    const among = `among ${size}`;
    const add = (name: string, run: () => void) => cases.push({ group: "FDB", name, operations: LOOKUPS, run });
    add(`hit ${among}`, () => void parts.lookupAll(core, hits, LOOKUPS));
    add(`miss ${among}`, () => void parts.lookupAll(core, misses, LOOKUPS));
    add(`learn, known, ${among}`, () => void parts.learnAll(core, hits, LOOKUPS, port, 1));
  }
  cases.push(await learnNew());
  return cases;
}

async function learnNew(): Promise<Case> {
  const sw = new TestSwitch({ fdb: { limit: 2 * NEW, portLimit: 2 * NEW } });
  const port = (await TestGuest.create(sw, { rxBuffers: 0 })).port.id;
  const parts = partsOf(sw);
  const list = Array.from({ length: NEW }, (_, i) => address(i));
  const at = numbers(sw, list);
  return {
    group: "FDB",
    name: `learn, new, up to ${NEW}`,
    operations: NEW,
    before: () => void sw.bridge.flushFdb(),
    run: () => expect("addresses learned", parts.learnAll(sw.bridge.core.at, at, NEW, port, 1), NEW),
  };
}
