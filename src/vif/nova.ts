// Nova's part of the chain as one step: port → VIF → os-vif object → interface XML.

import { type NovaInterface, novaInterface } from "./nova-interface.js";
import { type NovaVif, novaVif, type OsVif, osVif } from "./nova-vif.js";
import { parseInput } from "./refusal.js";
import { type NovaInput, NovaInputSchema } from "./schema.js";
import { interfaceXml } from "./xml.js";

/** All that Nova makes of a port, with the key names of Nova and os-vif. */
export interface NovaStages {
  vif: NovaVif;
  osvif: OsVif;
  xml: string;
}

/** The stages, what they were made of, and the interface before it was XML. */
export interface NovaWork {
  input: NovaInput;
  stages: NovaStages;
  nic: NovaInterface;
}

/**
 * What Nova makes of a bound port.
 * @param value `{port, network, flavor, image_properties, conf}`
 * @throws VifRefusal when it is malformed, or Nova refuses it
 */
export function novaStages(value: unknown): NovaStages {
  return novaWork(value).stages;
}

/** The same, with what later steps need besides. */
export function novaWork(value: unknown): NovaWork {
  const input = parseInput(NovaInputSchema, value, "xml");
  const vif = novaVif(input);
  const osvif = osVif(vif);
  const nic = novaInterface(osvif, input);
  return { input, nic, stages: { vif, osvif, xml: interfaceXml(nic) } };
}
