// What each front-end request means. A handler looks at the state and answers with a plan, or with the reason why the
// request is refused; a refused request changes nothing. Carrying a plan out is session.ts's business.

import { INFLIGHT_HANDLERS } from "./handlers/inflight.js";
import { IOTLB_HANDLERS } from "./handlers/iotlb.js";
import { MEMORY_HANDLERS } from "./handlers/memory.js";
import { MIGRATION_HANDLERS } from "./handlers/migration.js";
import { NET_HANDLERS } from "./handlers/net.js";
import { NEGOTIATION_HANDLERS } from "./handlers/negotiation.js";
import { POSTCOPY_HANDLERS } from "./handlers/postcopy.js";
import { RING_HANDLERS } from "./handlers/rings.js";
import type { Handlers } from "./plan.js";

/** One for each request that is marked as supported in MESSAGES. */
export const HANDLERS: Handlers = {
  ...NEGOTIATION_HANDLERS,
  ...MEMORY_HANDLERS,
  ...RING_HANDLERS,
  ...MIGRATION_HANDLERS,
  ...POSTCOPY_HANDLERS,
  ...NET_HANDLERS,
  ...INFLIGHT_HANDLERS,
  ...IOTLB_HANDLERS,
};
