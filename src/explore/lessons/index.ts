// All lessons, in their order.

import { chain } from "./chain.js";
import { hostile } from "./hostile.js";
import { indirect } from "./indirect.js";
import { learning } from "./learning.js";
import type { Lesson } from "./lesson.js";
import { mergeable } from "./mergeable.js";
import { offloads } from "./offloads.js";
import { oneCopy } from "./one-copy.js";
import { oneDescriptor } from "./one-descriptor.js";
import { packed } from "./packed.js";
import { suppression } from "./suppression.js";
import { twoIndices } from "./two-indices.js";

export const LESSONS: readonly Lesson[] = [
  oneDescriptor,
  twoIndices,
  chain,
  indirect,
  suppression,
  mergeable,
  packed,
  offloads,
  learning,
  hostile,
  oneCopy,
];
