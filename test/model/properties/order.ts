// What a driver is given back is all there by then: the core's stores are looked at one by one.

import { FDB, play, smallDrawn } from "./bridge.js";
import { Match } from "../match.js";
import { property } from "../property.js";

export const orderProperty = property(
  "what is given back was written before",
  smallDrawn,
  async ({ shapes, operations }, { core, memory }, played) => {
    const told: { match?: Match } = {};
    const source = core.telling(memory, (offset) => told.match?.judge.storing(offset));
    told.match = await Match.create(source, shapes, FDB);
    await play(told.match, operations, played);
  },
);
