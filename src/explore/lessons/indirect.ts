// Lesson 4: a chain in a table of its own.

import { burst, reclaim, send } from "./act.js";
import type { Lesson } from "./lesson.js";

const PIECES = { pieces: [12, 14, 20, 8] };

export const indirect: Lesson = {
  id: "indirect",
  title: "Indirect tables",
  about: "Many pieces, one descriptor.",
  setup: { guests: [{ indirect: true, size: 4 }, { size: 4 }] },
  shows: ["a.transmitq"],
  beats: [
    {
      text: `Chains eat descriptors. In a ring of four, one frame of five pieces does not fit at all. The feature
\`VIRTIO_F_INDIRECT_DESC\` helps: the driver writes the chain into a table *elsewhere in its memory*, and puts one descriptor into
the ring, with the flag \`INDIRECT\`, that points to that table [2.7.5.3].`,
      predict: {
        question:
          "A frame of five pieces is sent through an indirect table. What is len of the descriptor in the ring?",
        choices: ["80: the bytes of the frame", "5: the pieces", "80: five times 16 bytes of table"],
        right: 2,
        why: `It describes the table: five descriptors of 16 bytes. (That the frame with its header has 80 bytes as well is chance, and a
good trap: the flag alone says what \`len\` means.)`,
      },
      acts: [send(0, 1, 26, { ...PIECES, indirect: true })],
      after: `One descriptor of the ring is in use. The table below it has the five pieces; their \`next\` counts within the table.`,
    },
    {
      text: `For the switch that is one more step: read the descriptor, then read the table.`,
      predict: {
        question: "An entry of the table has the flag INDIRECT itself. What must the switch do?",
        choices: ["Follow it: tables may nest", "Refuse the chain", "Ignore the flag and send"],
        right: 1,
        why: `A driver must not do that: one table for a descriptor, and no deeper [2.7.5.3]. A switch that followed could be sent in
circles by a malicious guest, so this one gives the chain back unsent and counts it.`,
      },
      acts: [burst, reclaim(0)],
      after: `In the events: \`device reads a.transmitq.desc[0]\`, then the entries of \`a.table[0]\`. The table is read once, each
entry into the switch's own memory, for a guest could change it in between.`,
    },
  ],
  exercise: {
    text: `Have four frames of five pieces under way at once in this ring of four: all four descriptors available, none taken.`,
    setup: { guests: [{ indirect: true, size: 4 }, { size: 4 }], device: "polling" },
    actions: [
      { label: "a: send 5 pieces, chained", guest: 0, operation: { do: "send", to: 1, payload: 26, ...PIECES } },
      {
        label: "a: send 5 pieces, indirect",
        guest: 0,
        operation: { do: "send", to: 1, payload: 26, ...PIECES, indirect: true },
      },
    ],
    done: ({ view }) =>
      view.guests[0]!.transmitq.split!.descriptors.every(
        ({ state, names }) => state === "available" && names.includes("INDIRECT"),
      ),
    hint: ({ view }) => {
      const { descriptors } = view.guests[0]!.transmitq.split!;
      return `${descriptors.filter(({ names, state }) => state === "available" && names.includes("INDIRECT")).length} of 4 are.`;
    },
    solution: Array.from({ length: 4 }, () => send(0, 1, 26, { ...PIECES, indirect: true })),
  },
};
