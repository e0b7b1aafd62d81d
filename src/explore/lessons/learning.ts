// Lesson 9: how a switch knows where to send a frame.

import { burst, send } from "./act.js";
import type { Lesson } from "./lesson.js";

export const learning: Lesson = {
  id: "learning",
  title: "Learning and flooding",
  about: "How a switch finds out who is where, without being told.",
  setup: { guests: [{}, {}, {}] },
  shows: ["a.transmitq", "b.receiveq", "c.receiveq"],
  extra: "overview",
  beats: [
    {
      text: `Three guests now. Each has an address, its MAC; they differ in the last byte: \`0a\`, \`0b\`, \`0c\`. Every Ethernet frame begins
with the address that it goes to and the one that it comes from. The switch has a table of addresses and ports, and it is empty.`,
      predict: {
        question: "a sends a frame to b's address. Who gets it?",
        choices: ["b", "b and c", "Nobody: the address is unknown"],
        right: 1,
        why: `An unknown address might be anywhere, so the frame goes to all but its sender: it is *flooded*. c's network card sees that the
address is not its own, and c ignores it.`,
      },
      acts: [send(0, 1, 26), burst],
      after: `And the switch *learned*: the frame came from \`0a\`, on a's port, so that is where \`0a\` is. Nobody told it anything.`,
    },
    {
      text: `b answers a.`,
      predict: {
        question: "Who gets the answer, and what does the switch know then?",
        choices: ["a and c; it knows a and b", "Only a; it knows a and b", "Only a; it knows a"],
        right: 1,
        why: `\`0a\` is known, so there is one receiver, and one copy. The answer came from \`0b\`: learned as well. From now on a and b
talk without c seeing it.`,
      },
      acts: [send(1, 0, 26), burst],
      after: `Entries that nobody confirms age and go, after five minutes with most switches. When a guest moves, its first frame from the new port
changes the entry.`,
    },
    {
      text: `Some frames go to everybody on purpose: their address is all ones, the *broadcast*. "Who has the IP address 10.0.0.2?" is such a
frame.`,
      predict: {
        question:
          "A flooded frame goes to 2 guests, a broadcast in a switch of 100 ports to 99. How often is it copied?",
        choices: ["Once", "Once for each receiver", "Twice for each receiver"],
        right: 1,
        why: `Each guest has memory of its own, so each needs its copy. That is what makes floods dear.`,
      },
      acts: [send(2, "broadcast", 26), burst],
    },
  ],
  exercise: {
    text: `Teach the switch where c is, without c ever *receiving* a frame, and then have a frame from a reach c and not b.`,
    setup: { guests: [{}, {}, {}] },
    actions: [
      { label: "a: send to b", guest: 0, operation: { do: "send", to: 1, payload: 26 } },
      { label: "a: send to c", guest: 0, operation: { do: "send", to: 2, payload: 26 } },
      { label: "c: send to a", guest: 2, operation: { do: "send", to: 0, payload: 26 } },
    ],
    done: ({ view }) =>
      view.guests[2]!.receiveq.counters.frames === 1 &&
      view.guests[2]!.sent >= 1 &&
      view.guests[0]!.sent === 1 &&
      view.fdb.some(({ guest }) => guest === 2) &&
      view.guests[0]!.receiveq.counters.frames >= 1,
    hint: ({ view }) => {
      const [a, , c] = view.guests;
      if (a!.sent > 0 && !view.fdb.some(({ guest }) => guest === 2))
        return "a's frame was flooded. Begin again: c must be known first.";
      if (c!.sent === 0) return "the switch does not know c. Who must send something?";
      return "c is to send, the switch to work, then a.";
    },
    solution: [send(2, 0, 26), burst, send(0, 2, 26), burst],
  },
};
