// Lesson 5: kicks and calls are dear, so each side says when it wants one; and the race that comes with it.

import { burst, send } from "./act.js";
import type { Lesson } from "./lesson.js";

export const suppression: Lesson = {
  id: "suppression",
  title: "Suppression and event idx",
  about: "How not to be woken, and why one must look again before sleeping.",
  setup: {},
  shows: ["a.transmitq"],
  extra: "overview",
  beats: [
    {
      text: `A *kick* (driver to switch) makes a virtual machine leave its guest: it costs as much as moving dozens of frames. A *call*
(switch to driver) is an interrupt in the guest. Both sides would rather do without.

So each says whether it wants to be told. Where no more was negotiated, it is a flag: the switch sets \`used.flags\` to
\`NO_NOTIFY\` while it polls [2.7.10], the driver sets \`avail.flags\` to \`NO_INTERRUPT\` while it polls [2.7.7].`,
      predict: {
        question:
          "The switch sleeps. Guest a sends a frame, and right after it another one, while the switch works. How many kicks?",
        choices: ["None", "One", "Two"],
        right: 1,
        why: `The first finds \`used.flags\` 0 and kicks. The switch wakes, and the first thing that it does is to write
\`NO_NOTIFY\`. The second finds that and saves the kick: the switch will look anyway.`,
      },
      acts: [
        send(0, 1, 26),
        { device: "shared", until: "a.transmitq.used.flags = NO_NOTIFY" },
        { device: "shared", times: 2 },
        send(0, 1, 26),
        burst,
        burst,
      ],
      after: `Both frames went through with one kick. Under load a good switch sees none for hours.`,
    },
    {
      text: `Now the hard part. The rings are empty, the switch wants to sleep. It writes "kick me" into \`used.flags\`, and sleeps.`,
      predict: {
        question:
          "What if the driver adds a frame between the switch's last look at the ring and the store of that flag?",
        choices: [
          "Nothing: it will kick",
          "The driver read NO_NOTIFY and does not kick; the switch sleeps: the frame lies there",
          "The frame is overwritten",
        ],
        right: 1,
        why: `A lost wake-up. The cure: after asking for kicks, the switch looks at the ring *once more*, and only then it sleeps. Store,
then load, in that order on both sides: at least one of the two sees the other.`,
      },
      acts: [
        { device: "shared", until: "a.transmitq.used.flags = 0" },
        { device: "shared", until: "b.transmitq.avail.idx" },
      ],
      after: `There: \`used.flags = 0\`, and right behind it the switch reads \`avail.idx\` again, for each queue.`,
    },
    {
      text: `A flag is crude. With \`VIRTIO_F_EVENT_IDX\` each side writes an *index* instead: "tell me when you get to here".
\`used_event\` lies behind the available ring and is the driver's wish, \`avail_event\` lies behind the used ring and is the
switch's wish [2.7.7] [2.7.10]. A driver that wants a call for every tenth frame sets it ten further.`,
      predict: {
        question:
          "used_event is 0 and stays so. The switch has used element 0 and called. It uses element 1. Does it call?",
        choices: ["Yes, each element", "No: 1 is past 0, and was not asked for", "Only if the ring is full"],
        right: 1,
        why: `The rule: call when this step of \`used.idx\` passed the wish, that is when element \`used_event\` is among those just
used. Whoever wants another call must move the wish along. With that a wish is good for one call, with no store to switch it off again.`,
      },
      after: `The exercise uses the flags. Event idx is in the [laboratory](#/lab): tick "event idx" in the setup.`,
    },
  ],
  exercise: {
    text: `Make the bug happen. Put the fault "the switch forgets to look again" on, and find the order of steps in which a frame
lies in a's transmitq while the switch sleeps and no kick is on its way. Hint: let the switch finish its work, and send when it has
looked at the rings for the last time, but has not yet written \`used.flags\`. The grain must be "one memory access" for that.`,
    setup: { device: "polling" },
    faults: true,
    actions: [{ label: "a: send a frame to b", guest: 0, operation: { do: "send", to: 1, payload: 26 } }],
    done: ({ view }) => {
      const guest = view.guests[0]!;
      const waits = guest.transmitq.split!.avail.idx.value !== guest.transmitq.device.nextAvail.value;
      return waits && view.device.phase === "asleep" && !guest.kicked && guest.operation === undefined;
    },
    hint: ({ view }) => {
      if (!view.faults.skipRecheck) return "put the fault on first.";
      if (view.device.phase === "asleep")
        return "the switch sleeps, and nothing waits: you were too early or too late. Begin again.";
      if (view.guests[0]!.sent > 0) return "step the switch till it sleeps.";
      return `the switch is at "${view.device.phase}". Step it till it begins to ask for kicks ("arm"), then send.`;
    },
    solution: [
      { fault: { fault: "skip-recheck", skip: true } },
      { device: "access", phase: "arm" },
      send(0, 1, 26),
      { device: "access", phase: "asleep" },
    ],
  },
};
