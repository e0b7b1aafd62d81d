// Lesson 7: the packed ring, its two bits, and why it was made.

import { burst, receive, reclaim, send } from "./act.js";
import type { Lesson } from "./lesson.js";

const round = [send(0, 1, 26), burst, reclaim(0)];

export const packed: Lesson = {
  id: "packed",
  title: "Packed and the wrap counter",
  about: "One ring in the place of three, and one bit that says which round it is.",
  setup: {
    guests: [
      { ring: "packed", size: 4 },
      { ring: "packed", size: 4 },
    ],
    device: "polling",
  },
  shows: ["a.transmitq"],
  extra: "compare",
  beats: [
    {
      text: `For one frame, a split ring touches three places: descriptor, available ring, used ring. Memory goes from one processor to the
other in *cache lines* of 64 bytes, and each line that both touch must travel. The *packed* ring [2.8] puts everything into one place:
one ring of descriptors that both sides write.

There is no index in memory any more. So how does the switch know that descriptor 0 is new? By two bits in its flags: \`AVAIL\` (A in
the picture) and \`USED\` (U).`,
      predict: {
        question: "The driver makes a descriptor available in the first round. How must A and U stand?",
        choices: ["A = 1, U = 1", "A = 1, U = 0", "A = 0, U = 1"],
        right: 1,
        why: `Both sides keep a *wrap counter*, one bit, that begins at 1 [2.8.1]. Available means: A equals the driver's wrap counter, and
U does not. Used means: both equal the device's. Memory that was never written has 0 and 0, which is neither in the first round.`,
      },
      acts: [send(0, 1, 26)],
      after: `The driver wrote address, length and id, and *last* the flags. That one store publishes the descriptor, as
\`avail.idx\` does in a split ring.`,
    },
    {
      text: `The switch takes it, and gives it back *in the same place*: it writes the id, the length and new flags over the descriptor.`,
      predict: {
        question: "How do A and U stand then?",
        choices: ["A = 0, U = 0", "A = 1, U = 1", "A = 0, U = 1"],
        right: 1,
        why: `Used: both equal the wrap counter, which is 1 in the first round.`,
      },
      acts: [burst, reclaim(0), ...round, ...round, ...round],
      after: `Four frames, and the ring of four was gone round once. All descriptors have 1 and 1, and the driver's wrap counter has flipped
to 0.`,
    },
    {
      text: `Now the second round begins, at descriptor 0, which still has A = 1 and U = 1.`,
      predict: {
        question: "The driver makes descriptor 0 available again. Which flags does it write?",
        choices: ["A = 1, U = 0 as before", "A = 0, U = 1", "A = 0, U = 0"],
        right: 1,
        why: `The counter is 0 now: A must equal it, U must not. If it wrote 1 and 0 again, the switch could not tell a new descriptor from one
that it has not reached since the last round. The bits change their meaning with each round, so old contents never look new.`,
      },
      acts: [send(0, 1, 26)],
      after: `The switch, whose counter flipped too when it passed the end, sees A = 0 and U = 1: available.`,
    },
  ],
  exercise: {
    text: `Bring the ring to the third round: the driver makes descriptor 0 available with A = 1, U = 0 *after* it had 0 and 1. Above the
picture you can run the same traffic on both forms of ring and compare.`,
    setup: {
      guests: [
        { ring: "packed", size: 4 },
        { ring: "packed", size: 4 },
      ],
      device: "polling",
    },
    actions: [
      { label: "a: send a frame to b", guest: 0, operation: { do: "send", to: 1, payload: 26 } },
      { label: "a: take sent buffers back", guest: 0, operation: { do: "reclaim" } },
      { label: "b: take what came, give the buffer again", guest: 1, operation: { do: "receive", again: true } },
    ],
    done: ({ view }) => {
      const guest = view.guests[0]!;
      const first = guest.transmitq.packed!.descriptors[0]!;
      return guest.sent >= 9 && first.availBit && !first.usedBit;
    },
    hint: ({ view }) => {
      const { sent, transmitq } = view.guests[0]!;
      const used = transmitq.packed!.descriptors.filter(({ state }) => state === "used").length;
      const note = used > 0 ? ` ${used} descriptors are used and not taken back yet.` : "";
      return `${sent} frames sent; descriptor 0 comes again with the ninth.${note}`;
    },
    solution: [
      ...Array.from({ length: 4 }, () => [send(0, 1, 26), send(0, 1, 26), burst, reclaim(0), receive(1, true)]).flat(),
      send(0, 1, 26),
    ],
  },
};
