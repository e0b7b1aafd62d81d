// Lesson 1: what a descriptor is, and what one frame's journey looks like from end to end.

import { burst, receive, reclaim, send } from "./act.js";
import type { Lesson } from "./lesson.js";

export const oneDescriptor: Lesson = {
  id: "one-descriptor",
  title: "One descriptor",
  about: "How a guest says: here is a frame, please send it.",
  setup: {},
  shows: ["a.transmitq"],
  extra: "overview",
  beats: [
    {
      text: `A virtual machine, a *guest*, has a network card that does not exist. What does exist is the guest's memory, and a program
outside, the *device*, that can read and write the same memory. Here the device is a software switch, and guests \`a\` and \`b\`
are attached to it. Inside each guest a *driver* plays the other part.

The two talk through *virtqueues*. A network card has at least two: the *transmitq*, for frames that the guest sends, and the
*receiveq*, for frames that come [5.1.6]. What you see on this page is the transmitq of guest \`a\`, live in memory.

The table in the middle is the *descriptor table* [2.7.5]. A descriptor is 16 bytes that point to a piece of memory: its address
(\`addr\`), how many bytes there are (\`len\`), and two fields for later. The letter before each says who has it: F, free, means that
the driver may write it.`,
      predict: {
        question: "Guest a sends a frame to b. How often does the driver copy the frame into the ring?",
        choices: [
          "Once, into the descriptor table",
          "Never: the ring only gets its address",
          "Twice, into table and available ring",
        ],
        right: 1,
        why: `A descriptor says where the frame lies. The frame itself stays in a buffer, \`a.tx[0]\`, somewhere else in the
guest's memory. That is why 16 bytes are enough for any frame.`,
      },
      acts: [send(0, 1, 26)],
      after: `The driver wrote the frame into a buffer, then the four fields of descriptor 0, and then two more numbers on the
left: the *available ring*, which tells the switch which descriptors are ready. The next lesson is about those. Last it *kicked*: it
told the sleeping switch that there is work [2.7.13.4].

Rest the pointer on \`addr\` of descriptor 0: the bytes that it points to light up in the memory pane as well.`,
    },
    {
      text: `Now it is the switch's turn. Descriptor 0 has the letter A, *available*: it is the switch's to read, and the driver
must leave it alone.`,
      predict: {
        question:
          "The switch has copied the frame to guest b. How does guest a learn that it may use its buffer again?",
        choices: [
          "It waits for some time and takes it",
          "The switch clears the descriptor",
          "The switch writes the descriptor's number into another ring",
        ],
        right: 2,
        why: `The *used ring*, on the right, is the way back [2.7.8]. The switch never writes descriptors of a split ring; it
writes their numbers into the used ring, and how many bytes it wrote into the buffer: none, for a frame that it only read.`,
      },
      acts: [burst],
      after: `The switch read the descriptor, copied the frame into one of b's receive buffers, and put descriptor 0 into the used
ring. It has the letter U now: *used*, given back, but a's driver has not looked yet.`,
    },
    {
      text: `Two things are left: \`a\` takes its buffer back, and \`b\` takes the frame. Watch the letter of descriptor 0.`,
      acts: [reclaim(0), receive(1)],
      after: `F again: the journey of a descriptor is free, written, available, used, free. Each has one owner at any time, and only
the owner may touch it. Everything else in this course is about saying this faster, and about what happens when somebody lies.`,
    },
  ],
  exercise: {
    text: `Send two frames from \`a\` to \`b\` and get both descriptors of \`a\` back to F. You give the orders with these buttons, and
step drivers and switch with the controls (or the keys \`a\`, \`s\`; \`?\` lists them all).`,
    actions: [
      { label: "a: send a frame to b", guest: 0, operation: { do: "send", to: 1, payload: 26 } },
      { label: "a: take sent buffers back", guest: 0, operation: { do: "reclaim" } },
    ],
    setup: {},
    done: ({ view }) =>
      view.guests[0]!.sent >= 2 && view.guests[0]!.tx.every(({ owner }) => owner === "driver") && everyFree(view),
    hint: ({ view }) => {
      const guest = view.guests[0]!;
      if (guest.sent < 2) return `a has sent ${guest.sent} of 2 frames. Press the button, then step driver A.`;
      const used = guest.transmitq.split!.descriptors.filter(({ state }) => state === "used").length;
      if (used > 0) return `${used} used: tell a to take its buffers back, and step its driver.`;
      return "the switch has not worked yet, or not on both: step the switch.";
    },
    solution: [send(0, 1, 26), send(0, 1, 26), burst, reclaim(0)],
  },
};

function everyFree(view: Parameters<Lesson["exercise"]["done"]>[0]["view"]): boolean {
  return view.guests[0]!.transmitq.split!.descriptors.every(({ state }) => state === "free");
}
