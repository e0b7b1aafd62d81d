// Nova's part of the chain as one step: port → VIF → os-vif object → interface XML.

import { novaInterface } from "./nova-interface.js";
import { type NovaVif, novaVif, type OsVif, osVif } from "./nova-vif.js";
import { parseInput } from "./refusal.js";
import { NovaInputSchema } from "./schema.js";
import { interfaceXml } from "./xml.js";

/** All that Nova makes of a port, with the key names of Nova and os-vif. */
export interface NovaStages {
  vif: NovaVif;
  osvif: OsVif;
  xml: string;
}

/**
 * What Nova makes of a bound port.
 * @param value `{port, network, flavor, image_properties, conf}`
 * @throws VifRefusal when it is malformed, or Nova refuses it
 */
export function novaStages(value: unknown): NovaStages {
  const input = parseInput(NovaInputSchema, value, "xml");
  const vif = novaVif(input);
  const osvif = osVif(vif);
  return { vif, osvif, xml: interfaceXml(novaInterface(osvif, input)) };
}
