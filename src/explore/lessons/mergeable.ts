// Lesson 6: receive buffers, and frames that are longer than one.

import { burst, post, receive, send } from "./act.js";
import type { Lesson } from "./lesson.js";

export const mergeable: Lesson = {
  id: "mergeable",
  title: "Mergeable buffers",
  about: "How to receive long frames without giving long buffers.",
  setup: { guests: [{}, { mergeable: true, rxBufferBytes: 64, rxBuffers: 6 }] },
  shows: ["b.receiveq"],
  extra: "overview",
  beats: [
    {
      text: `To receive, a driver must give buffers *before* frames come [5.1.6.3]. Look at b's receiveq: six descriptors are available,
each with the flag \`WRITE\`: the switch may write there. Each is 64 bytes long.

How long should a buffer be? A frame may have 60 bytes or 64 kilobytes. With buffers for the worst case, a full ring of 256 would hold 16 megabytes,
mostly unused.`,
      predict: {
        question:
          "A frame of 142 bytes comes, with 12 bytes of virtio header in front. b's buffers have 64. What happens if nothing was agreed?",
        choices: ["It is cut", "It is dropped", "It waits for a longer buffer"],
        right: 1,
        why: `A frame is delivered whole or not at all. Without more, each frame must fit into one buffer; a longer one is dropped and
counted.`,
      },
      acts: [send(0, 1, 100), burst],
      after: `But b and the switch *have* agreed on something: \`VIRTIO_NET_F_MRG_RXBUF\`, mergeable receive buffers [5.1.6.4]. So the
frame was laid over three of b's buffers, 64 + 64 + 26 bytes.`,
    },
    {
      text: `b must know that the three belong together. The header in front of the first has a field for that, \`num_buffers\`.`,
      predict: {
        question: "When does the switch know what to write into num_buffers?",
        choices: [
          "Before it takes any buffer",
          "After it has found enough buffers for the frame",
          "It does not: b counts for itself",
        ],
        right: 1,
        why: `It takes buffers until the frame has room, and then writes their number into the first header. If there are not enough, it must put back
what it took: nothing may be half delivered. And \`used.idx\` jumps by three at once, so that b never sees a part.`,
      },
      acts: [receive(1)],
      after: `One frame received, three buffers back. Look at the structures of b.receiveq: \`num_buffers\` is 3 in the header of
\`b.rx[0]\`. The second and third buffer have no header.`,
    },
  ],
  exercise: {
    text: `b has three buffers of 64 bytes left for the switch, and a frame of 242 bytes comes. Predict what happens, then make the switch deliver such a
frame: b can give more buffers.`,
    setup: { guests: [{}, { mergeable: true, rxBufferBytes: 64, rxBuffers: 3 }] },
    actions: [
      { label: "a: send 200 bytes to b", guest: 0, operation: { do: "send", to: 1, payload: 200 } },
      { label: "b: give 2 buffers", guest: 1, operation: { do: "post", buffers: 2 } },
      { label: "b: take what came", guest: 1, operation: { do: "receive" } },
    ],
    done: ({ view }) => view.guests[1]!.received.some(({ buffers }) => buffers.length >= 4),
    hint: ({ view }) => {
      const { receiveq, received } = view.guests[1]!;
      const drops = receiveq.counters.drops["no-rx-buffer"] ?? 0;
      if (received.length === 0 && receiveq.counters.frames > 0) return "the switch has delivered it: b must take it.";
      if (drops > 0) return `${drops} dropped: b had no room. 242 bytes and a header of 12 need four buffers of 64.`;
      return "b has received nothing yet.";
    },
    solution: [post(1, 2), send(0, 1, 200), burst, receive(1)],
  },
};
