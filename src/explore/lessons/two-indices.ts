// Lesson 2: avail.idx and used.idx, the only two words by which driver and device agree.

import { burst, reclaim, send } from "./act.js";
import type { Lesson } from "./lesson.js";

export const twoIndices: Lesson = {
  id: "two-indices",
  title: "The two indices",
  about: "Two counters, each written by one side only, and no lock anywhere.",
  setup: { guests: [{ size: 4 }, { size: 4 }], device: "polling" },
  shows: ["a.transmitq"],
  beats: [
    {
      text: `Driver and switch run at the same time on different processors. They share memory and no lock. What keeps them from
tripping over each other are two 16-bit counters: \`avail.idx\`, which only the driver writes [2.7.6], and \`used.idx\`, which
only the switch writes [2.7.8].

The driver first writes the descriptor, then its number into the next slot of the available ring, and *last* it adds one to
\`avail.idx\` [2.7.13.3].`,
      predict: {
        question: "At which moment does the switch see the new frame?",
        choices: [
          "When the descriptor has its address",
          "When the slot of the available ring is written",
          "When avail.idx is written",
        ],
        right: 2,
        why: `Everything before \`avail.idx\` may be half done: the switch does not look there. One store publishes it all. So the
stores must become visible in this order, and drivers have a memory barrier before it.`,
      },
      acts: [send(0, 1, 26)],
      after: `In the picture D marks where the driver goes on, S where the switch does. Between them lies what is available: one
slot, with an arrow to the descriptor it names.`,
    },
    {
      text: `The rings here have four entries. The index is not a slot number: it counts on, and the slot is \`idx\` modulo 4.`,
      predict: {
        question: "Five frames have been sent and given back, one after the other. What is avail.idx?",
        choices: ["1: it wraps at the ring's size", "5: it counts on, up to 65535", "4: it stays at the ring's size"],
        right: 1,
        why: `It counts on freely and wraps from 65535 to 0. So \`avail.idx\` minus what the switch has taken is the number of waiting
entries, and a full ring (4) differs from an empty one (0) without a wasted slot. That is why the size of a split ring is a power of two: only then
the slots follow each other when the counter wraps.`,
      },
      acts: [
        burst,
        reclaim(0),
        send(0, 1, 26),
        burst,
        reclaim(0),
        send(0, 1, 26),
        burst,
        reclaim(0),
        send(0, 1, 26),
        burst,
        reclaim(0),
        send(0, 1, 26),
      ],
      after: `\`avail.idx\` is 5, and the fifth head stands in slot 0 again, where the first one stood. Look at \`used.idx\`: 4. The difference is the one frame under way.`,
    },
    {
      text: `The switch does not publish each frame by itself. It works through a *burst*, writes all used elements, and then
stores \`used.idx\` once.`,
      predict: {
        question: "Three frames wait. How often does the switch write used.idx of this queue?",
        choices: ["Once", "Three times", "Six times"],
        right: 0,
        why: `One store for a burst. Each store of a shared word costs the other processor a cache miss, so fewer of them is faster.
The driver sees either none of the three or all.`,
      },
      acts: [send(0, 1, 26), send(0, 1, 26), burst],
      after: `Search the events for "writes a.transmitq.used.idx": one line for three frames.`,
    },
  ],
  exercise: {
    text: `Fill a's transmitq: make a send be refused because the ring is full, while the switch has taken nothing. How many frames
does that take in a ring of 4?`,
    setup: { guests: [{ size: 4 }, { size: 4 }], device: "polling" },
    actions: [{ label: "a: send a frame to b", guest: 0, operation: { do: "send", to: 1, payload: 26 } }],
    done: ({ view, events }) =>
      events.some(({ notes }) =>
        notes.some((note) => note.note === "operation" && /full|no buffer left/.test(note.result)),
      ) && view.guests[0]!.transmitq.device.nextAvail.value === 0,
    hint: ({ view }) => {
      const { driver, device } = view.guests[0]!.transmitq;
      if (device.nextAvail.value > 0) return "the switch has taken some already. Begin again, and step only driver A.";
      return `${driver.free} of 4 descriptors are free. Send on.`;
    },
    solution: [send(0, 1, 26), send(0, 1, 26), send(0, 1, 26), send(0, 1, 26), send(0, 1, 26)],
  },
};
