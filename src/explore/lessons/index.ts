// All lessons, in their order.

import { chain } from "./chain.js";
import { hostile } from "./hostile.js";
import { indirect } from "./indirect.js";
import { learning } from "./learning.js";
import type { Lesson, SessionLesson } from "./lesson.js";
import { memory } from "./memory.js";
import { mergeable } from "./mergeable.js";
import { offloads } from "./offloads.js";
import { oneCopy } from "./one-copy.js";
import { oneDescriptor } from "./one-descriptor.js";
import { packed } from "./packed.js";
import { suppression } from "./suppression.js";
import { twoIndices } from "./two-indices.js";

export const LESSONS: readonly (Lesson | SessionLesson)[] = [
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
  memory,
  oneCopy,
];

/** Those that have a machine. */
export const MACHINE_LESSONS: readonly Lesson[] = LESSONS.filter((lesson): lesson is Lesson => "setup" in lesson);
