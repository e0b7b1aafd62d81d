// Lesson 11: how a guest's RAM gets into the switch: the messages of vhost-user, one by one.

import type { SessionLesson } from "./lesson.js";

export const memory: SessionLesson = {
  id: "memory",
  title: "How a guest's RAM gets in",
  about: "The messages between QEMU and the switch, one by one.",
  session: { frontEnd: "qemu", ring: "split", size: 256, mistake: "none" },
  beats: [
    {
      text: `So far both guests' memory was simply there. With real virtual machines, QEMU has the guest's RAM, the switch is another process, and
neither sees what is the other's. They meet at a Unix socket and speak *vhost-user*: QEMU is the *front-end*, the switch the *back-end*.

First they agree on what they can do. Step through the messages with the button below the picture: each is a header of 12 bytes (request, flags, size) and a payload.`,
      predict: {
        question: "GET_FEATURES comes first. Who decides which features are used in the end?",
        choices: [
          "The switch: it knows what it can do",
          "QEMU and its guest, from among what the switch offers",
          "Both have all features",
        ],
        right: 1,
        why: `The switch offers 64 bits; the guest's driver takes those that it knows; SET_FEATURES says which. That is how a driver of 2012 and a switch of
today understand each other.`,
      },
      until: "SET_FEATURES",
      after: `Every GET has a reply. Features that are about the conversation itself, not about the card, have a set of their own: the *protocol
features*.`,
    },
    {
      text: `Now the memory. A process cannot reach into another one. But a *file descriptor* can be sent over a Unix socket, beside the bytes. The
guest's RAM is a file without a name (a *memfd*); whoever has its descriptor can map it.`,
      predict: {
        question: "What does the switch do with the descriptor?",
        choices: [
          "It reads the RAM from it, whenever a frame comes",
          "It maps the file into its own memory, once",
          "It sends it back with frames in it",
        ],
        right: 1,
        why: `\`mmap\` with MAP_SHARED: from then on both processes see the same pages. No byte is copied. This switch maps them over pages *inside* the memory of
its WebAssembly core, so the core reaches every guest's RAM with plain loads.`,
      },
      until: "second ADD_MEM_REG",
      after: `Two regions, of one file: a PC's RAM has a hole below 4 GiB. In the picture each has three addresses: where the guest sees it, where QEMU has
mapped it, and the *window* in the switch's linear memory.`,
    },
    {
      text: `Next the rings: their size, where to go on, where they lie.`,
      predict: {
        question: "SET_VRING_ADDR gives addresses such as 0x7f1240201000. Whose are they?",
        choices: ["The guest's physical addresses", "QEMU's own, in its process", "Offsets in the file"],
        right: 1,
        why: `A peculiarity of the protocol: rings are named by the front-end's addresses, buffers in descriptors by the guest's. The regions say how to turn
either into an offset. An address in no region is refused.`,
      },
      until: "second SET_VRING_KICK",
      after: `The kicks and calls are descriptors too: *eventfds*. With the kick's the ring starts. From here on QEMU is out of the way: guest
and switch talk through memory alone.`,
    },
    {
      text: `When the guest stops, the switch is asked where it stands. GET_VRING_BASE stops the ring, and the reply is the index at which somebody
else may go on: that is half of a live migration.`,
      until: "end",
      after: `The switch answers only when no worker of its is in that ring any more. After the answer it touches the guest's memory no more.`,
    },
  ],
  exercise: {
    text: `Be a bad front-end. Choose a mistake beside that button and step until the switch says no. Find three different mistakes that it refuses, and
note what each costs: one message, or the connection.`,
    wanted: 3,
  },
};
