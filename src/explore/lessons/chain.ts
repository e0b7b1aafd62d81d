// Lesson 3: a buffer in several pieces: NEXT, and one head for the whole chain.

import { burst, reclaim, send } from "./act.js";
import type { Lesson } from "./lesson.js";

export const chain: Lesson = {
  id: "chain",
  title: "A chain",
  about: "A frame in pieces: descriptors that point to each other.",
  setup: {},
  shows: ["a.transmitq"],
  beats: [
    {
      text: `A frame rarely lies in one piece. The operating system has its headers in one place and the data in another, and in front
of each frame virtio wants a small header of its own, 12 bytes. Copying all this together would cost time. So a descriptor may have
the flag \`NEXT\`, and then its field \`next\` is the number of the descriptor that goes on [2.7.5].`,
      predict: {
        question: "Guest a sends one frame in three pieces. How many entries does it add to the available ring?",
        choices: [
          "One, with the number of the first descriptor",
          "Three, one for each piece",
          "One, with the number 3",
        ],
        right: 0,
        why: `The available ring holds *heads*. The rest of the chain is found through \`next\`. So one chain is one entry, one
\`avail.idx\` step and later one used element, however long it is.`,
      },
      acts: [send(0, 1, 26, { pieces: [12, 42] })],
      after: `Descriptors 0, 1 and 2 have the lengths 12, 42 and 26: the virtio header, the headers of Ethernet, IP and UDP, and the
data. The flag NEXT is on the first two, and not on the last.`,
    },
    {
      text: `Where a frame is cut is the driver's business: the device must not care [2.7.4].`,
      predict: {
        question: "What will the used element say?",
        choices: ["id 0, len 0", "id 2, len 80", "id 0, len 80"],
        right: 0,
        why: `\`id\` is the head of the chain, which the driver knows it by. \`len\` is how many bytes the device *wrote* into the
buffers. A transmitted frame is only read, so nothing was written.`,
      },
      acts: [burst],
      after: `The switch walked the chain, and counted: a chain cannot have more descriptors than the ring, so a walk that is longer is
a loop and is refused. The three pieces became one frame in b's buffer.`,
    },
    {
      text: `The driver reads one used element and frees three descriptors, by walking its own chain.`,
      acts: [reclaim(0)],
      after: `All free again. Note that the free descriptors need not be in order any more: the driver keeps them in a list, and takes
whichever comes.`,
    },
  ],
  exercise: {
    text: `Use up all eight descriptors of \`a\` with as few frames as you can, before the switch takes any. A frame of a few pieces
uses as many descriptors.`,
    setup: {},
    actions: [
      { label: "a: send in 1 piece", guest: 0, operation: { do: "send", to: 1, payload: 26 } },
      { label: "a: send in 3 pieces", guest: 0, operation: { do: "send", to: 1, payload: 26, pieces: [12, 42] } },
      {
        label: "a: send in 5 pieces",
        guest: 0,
        operation: { do: "send", to: 1, payload: 26, pieces: [12, 14, 20, 8] },
      },
    ],
    done: ({ view }) =>
      view.guests[0]!.transmitq.driver.free === 0 &&
      view.guests[0]!.sent === 2 &&
      view.guests[0]!.transmitq.device.nextAvail.value === 0,
    hint: ({ view }) => {
      const { transmitq, sent } = view.guests[0]!;
      if (transmitq.device.nextAvail.value > 0) return "the switch has taken some: begin again, and leave it alone.";
      if (sent > 2) return `that took ${sent} frames; two are enough. Begin again.`;
      return `${transmitq.driver.free} descriptors are free, ${sent} frames sent.`;
    },
    solution: [send(0, 1, 26, { pieces: [12, 42] }), send(0, 1, 26, { pieces: [12, 14, 20, 8] })],
  },
};
