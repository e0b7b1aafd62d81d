// For teachers: plans, questions and what they are good for, in the lessons' markup.

export const TEACHING: readonly { title: string; text: string }[] = [
  {
    title: "What this is good for",
    text: `Virtqueues are a small, complete example of things that are hard to show: lock-free communication with one producer and one consumer,
publication order, lost wake-ups, ownership, wrap-around, distrust of one's partner. Everything here happens in real memory, by real
code, one access at a time, and can be taken back.

Nothing is installed and nothing is sent anywhere: the page is a folder of plain files. A link in the address bar is a moment: prepare
the moments that you want to show, and keep the links.`,
  },
  {
    title: "One hour: how two sides share memory without a lock",
    text: `- 10 minutes: [One descriptor](#/lesson/one-descriptor), on the projector. Let the class say what the driver writes, before you step.
- 15 minutes: [The two indices](#/lesson/two-indices), each for himself, with the exercise.
- 20 minutes: [Suppression](#/lesson/suppression), the second half together. Before the exercise: who can name an order of four steps in which the frame is
forgotten?
- 10 minutes: the exercise. It takes most groups a few attempts; that is the lesson.
- 5 minutes: why do two stores and two loads in the right order suffice? (Each side stores first and then loads; so at least one of them sees
the other's store.)`,
  },
  {
    title: "Two hours: from memory to a network",
    text: `- [One descriptor](#/lesson/one-descriptor), [A chain](#/lesson/chain), [Mergeable buffers](#/lesson/mergeable): how frames lie in memory.
- [Learning and flooding](#/lesson/learning): a switch in its smallest form. Have the class predict the table after each of five frames
on the blackboard.
- [Why one copy](#/lesson/one-copy): what a copy costs, and what a processor does with it.`,
  },
  {
    title: "A course on secure interfaces",
    text: `- [A hostile driver](#/lesson/hostile) first, then [How a guest's RAM gets in](#/lesson/memory) and its mistakes.
- Homework: choose one of the nine bad chains in the [laboratory](#/lab), find in the source pane the line that refuses it, and say which clause of the
specification was broken.
- Discussion: why does one bad buffer cost a frame and one bad index the queue?`,
  },
  {
    title: "Questions without choices",
    text: `- Why does \`avail.idx\` count on, and not wrap at the ring's size? What would one have to give up otherwise?
- The driver writes \`avail.idx\` before the slot. Describe what the switch may see. (In the laboratory: delay a store.)
- Why may the switch write used elements in another order than the heads came in? When would it want to?
- A driver asks for calls again, and looks at the used ring afterwards. Which race does that close, and which one of the switch is its mirror
image?
- A packed ring has one writer too many for each cache line. Under which traffic is that better than the split ring, under which is
it not? Count it in [the packed lesson](#/lesson/packed).
- What would break if the wrap counters were kept in shared memory?
- The switch gives b's buffers back before it gives a's back. What would be different the other way round?`,
  },
  {
    title: "In the classroom",
    text: `- Everything has a key; \`?\` lists them. On a projector the text grows with the browser's zoom, and the picture with it.
- No colour carries a meaning alone: states have letters, driver and switch have D and S.
- "Share and export" gives a link, HTML for your own page, pictures and a capture for Wireshark.`,
  },
];
