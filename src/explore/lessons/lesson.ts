// What a lesson is: plain data and one predicate over the machine. The page shows it, tests run it to its end.

import type { Event, Operation, SetupOptions, View } from "../machine/index.js";
import type { SessionOptions } from "../machine/session/index.js";
import type { Act } from "./act.js";

export interface Lesson {
  /** In the URL. */
  id: string;
  title: string;
  /** One line for the list of lessons. */
  about: string;
  setup: SetupOptions;
  /** Queues whose pictures are shown: "a.transmitq". */
  shows: readonly string[];
  beats: readonly Beat[];
  exercise: Exercise;
  /** What stands beside the rings: the guests and the switch, or the same traffic on two forms of ring. */
  extra?: "overview" | "compare";
}

/** A lesson on the messages of a vhost-user session, without rings. */
export interface SessionLesson extends Pick<Lesson, "id" | "title" | "about"> {
  session: SessionOptions;
  beats: readonly SessionBeat[];
  /** So many different mistakes are to be refused. */
  exercise: { text: string; wanted: number };
}

export interface SessionBeat extends Pick<Beat, "text" | "predict" | "after"> {
  /** The message that is the last one shown: "SET_FEATURES", "second ADD_MEM_REG", "end". */
  until: string;
}

/** A piece of a lesson: it says something, asks, and shows. Texts are in the small markup of prose.ts. */
export interface Beat {
  text: string;
  predict?: Prediction;
  /** What the machine does when the reader has answered; without a question, when he wants to see it. */
  acts?: readonly Act[];
  /** What one was to see. */
  after?: string;
}

export interface Prediction {
  question: string;
  choices: readonly string[];
  /** Number of the right choice. */
  right: number;
  why: string;
}

export interface Exercise {
  text: string;
  /** Another machine than the lesson's, and what is done to it before the reader may. */
  setup?: SetupOptions;
  acts?: readonly Act[];
  /** What the reader can tell guests to do. */
  actions: readonly { label: string; guest: number; operation: Operation }[];
  faults?: boolean;
  /** Has the reader done it? */
  done(moment: Moment): boolean;
  /** What is still missing, in words. */
  hint(moment: Moment): string;
  /** One way to do it. */
  solution: readonly Act[];
}

/** The machine as a predicate sees it. */
export interface Moment {
  view: View;
  /** All that has happened since the exercise began. */
  events: readonly Event[];
}
