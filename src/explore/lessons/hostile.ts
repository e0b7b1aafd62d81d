// Lesson 10: a guest is not to be trusted, and what a device must check.

import { burst, send } from "./act.js";
import type { Act } from "./act.js";
import type { BadChain } from "../machine/index.js";
import type { Lesson } from "./lesson.js";

const bad = (kind: BadChain): Act => ({ guest: 0, does: { do: "send-bad", bad: kind } });

export const hostile: Lesson = {
  id: "hostile",
  title: "A hostile driver",
  about: "What a guest can write into its rings, and what the switch does then.",
  setup: { guests: [{ indirect: true }, {}, {}], learned: [1] },
  shows: ["a.transmitq"],
  extra: "overview",
  beats: [
    {
      text: `The driver runs inside the guest, and whoever owns the guest can change it. The switch serves many guests. So whatever stands in a
ring is a claim, not a fact: an address may point anywhere, a chain may bite its tail, and both may change while the switch looks.`,
      predict: {
        question: "A descriptor of guest a points to an address that a does not have. What should the switch do?",
        choices: ["Crash: a is broken", "Copy whatever is there", "Give the buffer back unsent, and count it"],
        right: 2,
        why: `An address of the guest is only believed after it was found in one of the regions that the guest has shared. Whatever is not in
there does not exist. The chain goes back into the used ring, the drop has a name, and the next frame is served as ever.`,
      },
      acts: [bad("address"), burst],
      after: `The picture shows descriptor 0 used: given back. With "the switch's own memory too" ticked, the events have the counter
\`drops.tx-address\`, and the reads of the list of regions before it: \`regions.ts\` is the only place where a guest's address is
believed.`,
    },
    {
      text: `A bad *buffer* is one thing. But what if the *ring* is bad, so that one does not know how to go on?`,
      predict: {
        question: "A descriptor has NEXT, and its next is itself. What should the switch do?",
        choices: ["Follow it for ever", "Stop this queue, and serve all others", "Skip the descriptor"],
        right: 1,
        why: `Every walk has a bound: a chain cannot be longer than its ring. Beyond that it is a loop, and nothing in this ring means anything any
more: the queue stops, with a reason and the descriptor's number. The other guests do not notice.`,
      },
      acts: [bad("loop"), burst],
      after: `The picture says that the queue is stopped. Frames between other guests go on: b and c still talk. a can reset its card and begin
anew.`,
    },
    {
      text: `The third kind is the meanest. The switch reads a length, finds it good, and reads it again to copy; in between, the guest has changed
it. This is called *time of check to time of use*.`,
      predict: {
        question: "How can a switch protect itself without any lock?",
        choices: [
          "Check twice",
          "Read each field once, into its own memory, check that copy and use that copy",
          "Stop the guest meanwhile",
        ],
        right: 1,
        why: `What has been copied cannot change. In this switch's core that is a rule of the house: every shared field is read once into a
local. You can see it in the events: each descriptor is read as two words of 8 bytes, and after that only the switch's own memory is looked
at.`,
      },
    },
  ],
  exercise: {
    text: `Stop a's transmitq with one bad chain, and then show that the others do not suffer: c sends b a frame that arrives. Try the others
as well; which only cost a frame, and which stop the queue?`,
    setup: { guests: [{ indirect: true }, {}, {}], learned: [1] },
    actions: [
      { label: "a: address outside", guest: 0, operation: { do: "send-bad", bad: "address" } },
      { label: "a: length of 4 GiB", guest: 0, operation: { do: "send-bad", bad: "length" } },
      { label: "a: chain without end", guest: 0, operation: { do: "send-bad", bad: "loop" } },
      { label: "a: head that does not exist", guest: 0, operation: { do: "send-bad", bad: "head" } },
      { label: "a: avail.idx far ahead", guest: 0, operation: { do: "send-bad", bad: "index" } },
      { label: "c: send to b", guest: 2, operation: { do: "send", to: 1, payload: 26 } },
    ],
    done: ({ view }) => view.guests[0]!.transmitq.status.stopped && view.guests[1]!.receiveq.counters.frames > 0,
    hint: ({ view }) => {
      if (!view.guests[0]!.transmitq.status.stopped) return "a's transmitq still runs: the switch forgave that one.";
      return "stopped. Now c must send to b, and the switch deliver it.";
    },
    solution: [bad("head"), burst, send(2, 1, 26), burst],
  },
};
