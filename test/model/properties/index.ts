// All properties, in the order in which they find most.

import type { Property } from "../property.js";
import { bridgeProperty } from "./bridge.js";
import { orderProperty } from "./order.js";

export const PROPERTIES: readonly Property[] = [bridgeProperty, orderProperty];
