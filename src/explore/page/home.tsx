// The first page: what this is, a machine that moves, and the lessons.

import { useEffect, useState } from "preact/hooks";
import { LESSONS } from "../lessons/index.js";
import { burst, receive, reclaim, send } from "../lessons/act.js";
import { makeSetup } from "../machine/index.js";
import type { CoreFiles } from "./core-files.js";
import { lessonsDone } from "./progress.js";
import { Overview } from "./rings/overview.js";
import { Session } from "./session.js";
import { useKeysFor } from "./session-context.js";
import { useSession } from "./stage.js";
import { writeRoute } from "./url.js";

export function Home({ files }: { files: CoreFiles }) {
  const [session, setSession] = useState<Session>();
  useEffect(() => {
    Session.make(makeSetup(), files.build).then(setSession);
  }, [files]);
  const done = lessonsDone();
  return (
    <main id="main" class="home">
      <h1>See a virtqueue work, one memory access at a time</h1>
      <p class="lead">
        A virtual machine's network card is a few structures in memory that the guest's driver and the host's device
        both read and write. This page runs a real software switch, the very code that forwards traffic in production,
        with guests attached, and lets you stop it between any two accesses, go back, and put things wrong.
      </p>
      {session && <Demonstration session={session} />}
      <h2>Lessons</h2>
      <ol class="lessons">
        {LESSONS.map(({ id, title, about }) => (
          <li key={id}>
            <a href={writeRoute({ page: "lesson", lesson: id })}>
              <strong>{title}</strong>
              <span class="note">{about}</span>
              {done.has(id) && <span class="done">✓ done</span>}
            </a>
          </li>
        ))}
      </ol>
      <p>
        Then try the <a href="#/quiz">ten questions</a>, take the machine apart in the <a href="#/lab">laboratory</a>,
        or look at what there is <a href="#/teach">for teachers</a>. You need to know what memory and a network frame
        are; nothing of virtio.
      </p>
    </main>
  );
}

/** A frame there and one back. */
const ACTS = [send(0, 1, 26), burst, reclaim(0), receive(1, true), send(1, 0, 26), burst, reclaim(1), receive(0, true)];

function Demonstration({ session }: { session: Session }) {
  useSession(session);
  useKeysFor(session);
  const { playing, current, view } = session;
  const play = () => {
    if (session.machine.ahead > 0) session.play();
    else session.play(ACTS);
  };
  return (
    <section class="demonstration" aria-label="A machine">
      <Overview view={view} current={current} />
      <p class="row">
        <button type="button" class="primary" onClick={playing ? () => session.pause() : play}>
          {playing ? "❚❚ Pause" : "▶ Send a frame there and one back"}
        </button>
        <span class="caption" aria-live="off">
          {current?.text ?? "Two guests, a switch that sleeps."}
        </span>
      </p>
    </section>
  );
}
