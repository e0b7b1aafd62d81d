// The frame of all pages: what the URL says decides what is in it.

import { useEffect, useState } from "preact/hooks";
import { LESSONS } from "../lessons/index.js";
import type { SessionLesson } from "../lessons/lesson.js";
import type { CoreFiles } from "./core-files.js";
import { Home } from "./home.js";
import { Lab } from "./lab.js";
import { LessonPage } from "./lesson-view.js";
import { ThemeButton } from "./parts/theme.js";
import { Quiz } from "./quiz.js";
import { Shortcuts } from "./shortcuts.js";
import type { Session } from "./session.js";
import { SessionContext } from "./session-context.js";
import { Teach } from "./teach.js";
import type { SessionLessonPage } from "./session-lesson.js";
import { type Page, type Route, readRoute } from "./url.js";

const TITLES: Record<Page, string> = {
  home: "Lessons",
  lesson: "Lesson",
  lab: "Laboratory",
  quiz: "Quiz",
  teach: "For teachers",
};
const LINKS: readonly Page[] = ["home", "lab", "quiz", "teach"];

/** Queues of a page that is embedded as a figure. */
const figure = new URLSearchParams(location.search).get("figure")?.split(",").filter(Boolean);

export function App({ files }: { files: CoreFiles }) {
  const [route, setRoute] = useState(() => readRoute(location.hash));
  const [error, setError] = useState<Error>();
  const [session, setSession] = useState<Session>();
  useEffect(() => {
    const change = () => {
      setError(undefined);
      setSession(undefined);
      setRoute(readRoute(location.hash));
      scrollTo(0, 0);
    };
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  const lesson = LESSONS.find(({ id }) => id === route.lesson);
  useEffect(() => {
    document.title = `${lesson?.title ?? TITLES[route.page]} – the virtqueue explorer`;
  }, [route, lesson]);
  const key = `${route.page}/${route.lesson ?? ""}/${route.state ?? ""}`;
  const problem =
    error ?? (route.page === "lesson" && !lesson ? new Error(`There is no lesson "${route.lesson}".`) : undefined);
  return (
    <SessionContext.Provider value={setSession}>
      {!figure && <Header page={route.page} session={session} />}
      {problem && (
        <main id="main">
          <p class="error" role="alert">
            {problem.message} <a href="#/">To the lessons</a>
          </p>
        </main>
      )}
      {!problem && route.page === "home" && <Home files={files} />}
      {!problem && lesson && route.page === "lesson" && (
        <LessonOfKind key={key} {...{ lesson, files, route }} onError={setError} />
      )}
      {!problem && route.page === "lab" && <Lab key={key} {...{ files, route }} figure={figure} onError={setError} />}
      {!problem && route.page === "quiz" && <Quiz />}
      {!problem && route.page === "teach" && <Teach />}
      {!figure && <Footer files={files} />}
    </SessionContext.Provider>
  );
}

interface LessonProps {
  lesson: (typeof LESSONS)[number];
  files: CoreFiles;
  route: Route;
  onError(error: Error): void;
}

function LessonOfKind({ lesson, files, route, onError }: LessonProps) {
  if ("session" in lesson) return <SessionLessonLater lesson={lesson} first={route.beat ?? 0} onError={onError} />;
  return <LessonPage {...{ lesson, files, route, onError }} />;
}

/** The session and its protocol are loaded for their lesson only. */
function SessionLessonLater(props: { lesson: SessionLesson; first: number; onError(error: Error): void }) {
  const [Page, setPage] = useState<typeof SessionLessonPage>();
  useEffect(() => {
    import("./session-lesson.js").then((loaded) => setPage(() => loaded.SessionLessonPage), props.onError);
  }, []);
  return Page ? <Page lesson={props.lesson} first={props.first} /> : <p class="loading">…</p>;
}

function Header({ page, session }: { page: Page; session: Session | undefined }) {
  return (
    <header class="page-header">
      <button type="button" class="skip-link" onClick={skip}>
        To the content
      </button>
      <a class="brand" href="#/">
        <svg viewBox="0 0 16 16" width="22" height="22" aria-hidden="true">
          <rect x="1" y="2" width="14" height="12" rx="3" />
          <path d="M5 2v12M10 2v12" />
        </svg>
        The virtqueue explorer
      </a>
      <nav aria-label="Pages">
        {LINKS.map((each) => (
          <a key={each} href={each === "home" ? "#/" : `#/${each}`} aria-current={each === page ? "page" : undefined}>
            {TITLES[each]}
          </a>
        ))}
      </nav>
      <span class="tools">
        <Shortcuts session={session} />
        <ThemeButton />
      </span>
    </header>
  );
}

/** No link: "#main" would be taken for a page. */
function skip(): void {
  const main = document.getElementById("main");
  main?.setAttribute("tabindex", "-1");
  main?.focus();
}

function Footer({ files }: { files: CoreFiles }) {
  return (
    <footer class="page-footer note">
      <p>
        This page runs the switch's own core: <code>core.traced.wasm</code>, SHA-256{" "}
        <code class="hash">{files.hash ?? "not known here (the page needs https or loopback to compute it)"}</code>. It
        is the release build, <code class="hash">{files.release}</code>, with a call in front of each instruction that
        touches memory.
      </p>
      <p>ringbridge is free software under the Apache License 2.0. Nothing of what you do here leaves this page.</p>
    </footer>
  );
}
