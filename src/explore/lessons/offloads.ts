// Lesson 8: what the 12 bytes in front of each frame are for.

import { burst, receive, send } from "./act.js";
import type { Lesson } from "./lesson.js";

export const offloads: Lesson = {
  id: "offloads",
  title: "Offload headers",
  about: "Twelve bytes by which work is left to the other side.",
  setup: {
    guests: [
      { offloads: true },
      { offloads: true, mergeable: true, rxBufferBytes: 512 },
      { mergeable: true, rxBufferBytes: 512 },
    ],
    learned: [1, 2],
  },
  shows: ["a.transmitq", "b.receiveq"],
  extra: "overview",
  beats: [
    {
      text: `In front of each frame lies a \`struct virtio_net_hdr\`, 12 bytes [5.1.6]. So far they were zero. With them a driver says: I
did not finish this frame, please do it for me.

The first such thing is the *checksum*. TCP and UDP carry a sum over all their bytes. To compute it the driver would have to read the
whole frame. It may leave that open: \`flags\` gets \`NEEDS_CSUM\`, \`csum_start\` says from where to add, \`csum_offset\` where
the sum goes [5.1.6.2].`,
      predict: {
        question:
          "a sends b such a frame. b has said that it takes frames with open checksums. What does the switch do?",
        choices: [
          "It computes the checksum",
          "It passes frame and header on, with the checksum open",
          "It drops the frame",
        ],
        right: 1,
        why: `The frame never left the machine's memory, where nothing goes wrong, so b need not check a sum at all. Nobody ever reads the
payload for it. This is why virtual networks within one host are fast.`,
      },
      acts: [send(0, 1, 26, { leave: "checksum" }), burst, receive(1)],
      after: `Look at the structures of b.receiveq: the header in \`b.rx[0]\` has \`NEEDS_CSUM\`, \`csum_start\` 34 (behind
Ethernet's 14 and IP's 20 bytes) and \`csum_offset\` 6.`,
    },
    {
      text: `Guest c has agreed to nothing of the kind.`,
      predict: {
        question: "a sends c the same frame. What now?",
        choices: [
          "c gets it with a wrong checksum",
          "The switch finishes the checksum in c's buffer",
          "The switch asks a to do it",
        ],
        right: 1,
        why: `Whoever accepted work from a driver must see to it that it is done. The switch computes the sum in the receiver's buffer, right
after the copy, when the bytes are in its cache anyway.`,
      },
      acts: [send(0, 2, 26, { leave: "checksum" }), burst, receive(2)],
      after: `c's header is all zero but \`num_buffers\`, and the two bytes at 34 + 6 of its frame have changed.`,
    },
    {
      text: `The second thing is *segmentation*. A TCP sender may hand over one giant frame, with \`gso_type\` and \`gso_size\`: please cut
it into pieces of that size. One trip through the ring in the place of dozens.`,
      predict: {
        question:
          "a sends b 1000 bytes of TCP payload, to be cut into 512 each. b takes uncut frames. How many frames does b get?",
        choices: ["One", "Two", "Three"],
        right: 0,
        why: `Again: why cut what stays in memory? b gets one large frame, over several mergeable buffers, with \`gso_size\` 512 in its header,
in case it wants to send it on.`,
      },
      acts: [send(0, 1, 1000, { leave: "segments" }), burst, receive(1)],
      after: `Guest c would get two frames of 512 and 488 bytes, cut by the switch, each with headers of its own. That is the exercise.`,
    },
  ],
  exercise: {
    text: `Make guest c receive two frames from one send of a.`,
    setup: {
      guests: [
        { offloads: true },
        { offloads: true, mergeable: true, rxBufferBytes: 512 },
        { mergeable: true, rxBufferBytes: 512 },
      ],
      learned: [1, 2],
    },
    actions: [
      {
        label: "a: send c 1000 bytes, uncut",
        guest: 0,
        operation: { do: "send", to: 2, payload: 1000, leave: "segments" },
      },
      {
        label: "a: send c 1000 bytes, checksum left",
        guest: 0,
        operation: { do: "send", to: 2, payload: 1000, leave: "checksum" },
      },
      { label: "c: take what came, give the buffers again", guest: 2, operation: { do: "receive", again: true } },
    ],
    done: ({ view }) => view.guests[2]!.received.length >= 2 && view.guests[0]!.sent < view.guests[2]!.received.length,
    hint: ({ view }) => `a has sent ${view.guests[0]!.sent}, c has received ${view.guests[2]!.received.length}.`,
    solution: [send(0, 2, 1000, { leave: "segments" }), burst, receive(2, true)],
  },
};
