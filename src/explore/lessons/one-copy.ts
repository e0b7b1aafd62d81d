// Lesson 12: why one copy is enough, and what it takes.

import { burst, receive, send } from "./act.js";
import type { Lesson } from "./lesson.js";

export const oneCopy: Lesson = {
  id: "one-copy",
  title: "Why one copy",
  about: "From a's buffer straight into b's: what that saves, and what makes it possible.",
  setup: { learned: [0, 1] },
  shows: ["a.transmitq", "b.receiveq"],
  beats: [
    {
      text: `Most software switches copy a frame twice: out of the sender's memory into a buffer of their own, and from there into the receiver's.
In between they may think about it in peace.

The switch on this page has both guests' memory before it, in one address space: [the lesson before](#/lesson/memory) showed how.`,
      predict: {
        question:
          "How many bytes of a frame of 1000 bytes does this switch have to read before it can decide where it goes?",
        choices: ["All 1000", "The first 12: the two addresses", "The first 14 and the last 4"],
        right: 1,
        why: `Destination and source address stand at the front, six bytes each. The switch reads two words there and looks the destination up; at the
rest of the frame it need not look.`,
      },
      acts: [send(0, 1, 64), { device: "shared", until: "reads a.tx[0]" }],
      after: `This is the read of the addresses, from a's own buffer. Nothing was copied yet.`,
    },
    {
      text: `Now it knows the receiver, it takes one of b's buffers, and then bytes move.`,
      predict: {
        question: "Between the reads of a.tx[0] and the writes of b.rx[0], where do the bytes stay?",
        choices: ["In a buffer of the switch", "In the processor's registers only", "In the used ring"],
        right: 1,
        why: `16 bytes at a time: load from a, store to b. In the events reads and writes take turns, and no other memory comes between.`,
      },
      acts: [burst, receive(1)],
      after: `One copy. It has a price: the switch must have found room in b's ring *before* it copies, and while it copies it may rely on
neither guest.

With one copy, memory traffic is about half, and so is what the copy costs in time. For long frames that is nearly everything.`,
    },
  ],
  exercise: {
    text: `Have one frame of a's copied *twice*: once for each of two receivers, and find both in the events. (It is not a trick: think of lesson
9.)`,
    setup: { guests: [{}, {}, {}] },
    actions: [
      { label: "a: send to b", guest: 0, operation: { do: "send", to: 1, payload: 26 } },
      { label: "a: send to everybody", guest: 0, operation: { do: "send", to: "broadcast", payload: 26 } },
    ],
    done: ({ view }) =>
      view.guests[1]!.receiveq.counters.frames > 0 &&
      view.guests[2]!.receiveq.counters.frames > 0 &&
      view.guests[0]!.transmitq.counters.frames === 1,
    hint: ({ view }) =>
      `b has been given ${view.guests[1]!.receiveq.counters.frames} frames, c ${view.guests[2]!.receiveq.counters.frames}.`,
    solution: [send(0, "broadcast", 26), burst],
  },
};
