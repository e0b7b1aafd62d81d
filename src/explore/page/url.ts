// What the page shows, as the part of the URL behind "#": whoever opens the link sees the same moment.
//
//   #/                               the lessons
//   #/lesson/two-indices?b=2&s=…     a lesson, at its piece 2, the machine in state s
//   #/lab?s=…                        the machine by itself
//   #/quiz, #/teach
//
// ?figure=a.transmitq,b.receiveq before the "#" shows the pictures of these queues and the controls, and nothing else.

export type Page = "home" | "lesson" | "lab" | "quiz" | "teach";

export interface Route {
  page: Page;
  /** Of a lesson. */
  lesson?: string;
  beat?: number;
  /** The machine's state, as text: the machine's decodeState reads it. */
  state?: string;
}

export function readRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?");
  const words = new URLSearchParams(query);
  const [page, lesson] = path.split("/").filter(Boolean);
  const route: Route = {
    page: page === "lesson" || page === "lab" || page === "quiz" || page === "teach" ? page : "home",
  };
  if (lesson) route.lesson = lesson;
  const beat = Number(words.get("b") ?? 0);
  if (Number.isInteger(beat) && beat > 0) route.beat = beat;
  const state = words.get("s");
  if (state) route.state = state;
  return route;
}

export function writeRoute({ page, lesson, beat, state }: Route): string {
  const query = new URLSearchParams();
  if (beat) query.set("b", String(beat));
  if (state) query.set("s", state);
  const path = page === "home" ? "/" : page === "lesson" ? `/lesson/${lesson}` : `/${page}`;
  return `#${path}${query.size > 0 ? `?${query}` : ""}`;
}
