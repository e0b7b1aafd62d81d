// The ten questions of the quiz, each with the lesson that answers it.

export interface Question {
  question: string;
  choices: readonly string[];
  right: number;
  why: string;
  /** The id of the lesson. */
  lesson: string;
}

export const QUIZ: readonly Question[] = [
  {
    question: "What does a descriptor hold?",
    choices: [
      "The frame",
      "Address and length of a buffer, flags, and a number",
      "The addresses of sender and receiver",
    ],
    right: 1,
    why: "Sixteen bytes: `addr`, `len`, `flags`, `next`. The frame stays in its buffer.",
    lesson: "one-descriptor",
  },
  {
    question:
      "A ring has 8 entries; `avail.idx` is 19, and the switch has taken 16 heads. How many wait, and in which slot is the next?",
    choices: ["3, in slot 0", "3, in slot 3", "11, in slot 0"],
    right: 0,
    why: "The index counts on: 19 − 16 = 3 wait, and 16 modulo 8 is slot 0.",
    lesson: "two-indices",
  },
  {
    question: "A frame in four pieces is sent as a chain. How many entries does the *used* ring get?",
    choices: ["Four", "One, with the head's number", "One, with the last one's number"],
    right: 1,
    why: "A chain is one entry on the way there and one on the way back, known by its head.",
    lesson: "chain",
  },
  {
    question: "What is `len` of a descriptor with the flag INDIRECT?",
    choices: ["The bytes of the frame", "The number of pieces", "The bytes of the table: 16 for each piece"],
    right: 2,
    why: "It describes the table, not what the table points to.",
    lesson: "indirect",
  },
  {
    question: "Before it sleeps, a switch asks for kicks. What must it do after that, and why?",
    choices: [
      "Look at the rings again: a frame may have come before the driver saw the wish",
      "Wait a little: the store needs time",
      "Call all drivers, so that they kick",
    ],
    right: 0,
    why: "Otherwise a frame that came in between lies there with nobody to wake the switch.",
    lesson: "suppression",
  },
  {
    question: "Where does a driver read that a received frame goes on in the next two buffers?",
    choices: ["In `next` of the descriptor", "In `num_buffers` of the header in the first buffer", "In `used.idx`"],
    right: 1,
    why: "`num_buffers` is 3. The buffers behind the first have no header.",
    lesson: "mergeable",
  },
  {
    question: "A packed ring's driver has wrap counter 0. Which bits make a descriptor available?",
    choices: ["AVAIL 1, USED 0", "AVAIL 0, USED 1", "AVAIL 0, USED 0"],
    right: 1,
    why: "AVAIL equals the driver's wrap counter, USED does not.",
    lesson: "packed",
  },
  {
    question: "A frame with an open checksum goes to a guest that never agreed to such frames. Who completes it?",
    choices: ["The sender, once more", "The receiver's driver", "The switch"],
    right: 2,
    why: "Who accepted the work sees to it that it is done.",
    lesson: "offloads",
  },
  {
    question: "When does a switch learn where an address is?",
    choices: ["When a frame comes *from* it", "When a frame goes *to* it", "When the guest connects"],
    right: 0,
    why: "Each frame says where its sender is. Frames to what is unknown are flooded.",
    lesson: "learning",
  },
  {
    question: "How does a device stay safe from a guest that changes a length after it was checked?",
    choices: [
      "It checks again after the copy",
      "It reads the length once, into its own memory, and uses that",
      "It takes a lock",
    ],
    right: 1,
    why: "A guest would not heed any lock; a copy of one's own cannot change.",
    lesson: "hostile",
  },
];
