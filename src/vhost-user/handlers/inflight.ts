// The inflight area: a file that we make, the front-end keeps, and that tells our successor how far we came.

import { VIRTQ_SIZE_MAX } from "../../../assembly/spec/virtio.js";
import { inflightBytes } from "../../core/inflight.js";
import { type Handlers, refuse } from "../plan.js";
import { isPacked, ringsWhere, VRINGS_MAX } from "../state.js";

/** A file offset is a signed 64-bit number (off_t). */
const FILE_OFFSETS = 1n << 63n;

export const INFLIGHT_HANDLERS: Handlers = {
  GET_INFLIGHT_FD: (state, payload) => {
    const { queues, queueSize, padded } = payload;
    // Without a size and a descriptor the reply says "no".
    const no = { kind: "inflight", mmapSize: 0n, mmapOffset: 0n, queues, queueSize, padded } as const;
    const problem = shapeProblem(queues, queueSize);
    if (problem !== undefined) return { ...refuse(problem), reply: () => no };
    const bytes = BigInt(queues * inflightBytes(queueSize, isPacked(state)));
    return {
      effects: [{ kind: "createInflight", bytes }],
      reply: (_, fds) => (fds.length === 0 ? no : { ...no, mmapSize: bytes }),
    };
  },

  SET_INFLIGHT_FD: (state, { mmapSize, mmapOffset, queues, queueSize }, fds) => {
    const problem = shapeProblem(queues, queueSize);
    if (problem !== undefined) return refuse(problem);
    const needed = BigInt(queues * inflightBytes(queueSize, isPacked(state)));
    if (mmapSize < needed) return refuse(`the area has ${mmapSize} bytes, ${queues} queues take ${needed}`);
    if (mmapOffset + mmapSize > FILE_OFFSETS) return refuse("the area ends past any file");
    // Where queues begin must be where our atomic accesses and the 64-byte parts expect it.
    if (mmapOffset % 64n !== 0n) return refuse(`its offset ${mmapOffset} is not aligned to 64 bytes`);
    const running = ringsWhere(state, (ring) => ring.running);
    const file = { fd: fds[0]!, size: needed, offset: mmapOffset, queues, queueSize };
    return {
      stop: running,
      effects: [{ kind: "setInflight", file }],
      commit: (s) => ({ ...s, inflight: true }),
      start: running,
    };
  },
};

function shapeProblem(queues: number, queueSize: number): string | undefined {
  if (queues < 1 || queues > VRINGS_MAX) return `${queues} is no number of queues, which is 1 to ${VRINGS_MAX}`;
  if (queueSize < 1 || queueSize > VIRTQ_SIZE_MAX) return `${queueSize} is no size of a ring, 1 to ${VIRTQ_SIZE_MAX}`;
  return undefined;
}
