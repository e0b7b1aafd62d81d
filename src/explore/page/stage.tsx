// The machine as one sees it: pictures of the rings, controls, and the panes, which show the same moment and light up together.

import { useEffect, useReducer, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { QueueView } from "../machine/index.js";
import { Caption, Controls } from "./controls.js";
import type { Sources } from "./core-files.js";
import { ExportMenu } from "./export.js";
import { relight } from "./lit.js";
import { Events } from "./panes/events.js";
import { Fields } from "./panes/fields.js";
import { Memory } from "./panes/memory.js";
import { Source } from "./panes/source.js";
import { useNarrow } from "./parts/narrow.js";
import { Overview } from "./rings/overview.js";
import { Ring } from "./rings/ring.js";
import { type Session, touchedBy } from "./session.js";

/** Draws anew whenever the session changes. */
export function useSession(session: Session): void {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => session.subscribe(() => redraw(0)), [session]);
  useEffect(relight);
}

interface Props {
  session: Session;
  sources: Sources;
  /** Queues whose pictures are shown. */
  shows: readonly string[];
  overview?: boolean;
  figure?: boolean;
  /** Between controls and panes. */
  children?: ComponentChildren;
}

export function Stage({ session, sources, shows, overview, figure, children }: Props) {
  useSession(session);
  const touched = touchedBy(session.current);
  return (
    <section class={`stage ${figure ? "is-figure" : ""}`} aria-label="The machine">
      {session.foreign && (
        <p class="note" role="status">
          This link was made with another build of the core, so this may be another moment than was meant.
        </p>
      )}
      <div class="pictures">
        {overview && <Overview view={session.view} current={session.current} />}
        <div class="rings" data-count={shows.length}>
          {shows.map((name) => {
            const queue = queueNamed(session, name);
            return queue && <Ring key={name} queue={queue} touched={touched} />;
          })}
        </div>
      </div>
      <Caption session={session} />
      <Controls session={session} />
      {children}
      {!figure && <Panes {...{ session, sources }} />}
      {!figure && <ExportMenu session={session} />}
    </section>
  );
}

const PANES = ["Events", "Source", "Memory", "Structures"] as const;

function Panes({ session, sources }: { session: Session; sources: Sources }) {
  const narrow = useNarrow();
  const [chosen, setChosen] = useState<(typeof PANES)[number]>("Events");
  const pane = {
    Events: <Events session={session} />,
    Source: <Source session={session} sources={sources} />,
    Memory: <Memory session={session} />,
    Structures: <Fields session={session} />,
  };
  if (!narrow) return <div class="panes">{PANES.map((name) => pane[name])}</div>;
  return (
    <div class="panes is-narrow">
      <div class="tabs" role="group" aria-label="Panes">
        {PANES.map((name) => (
          <button key={name} type="button" aria-pressed={chosen === name} onClick={() => setChosen(name)}>
            {name}
          </button>
        ))}
      </div>
      {pane[chosen]}
    </div>
  );
}

function queueNamed({ view }: Session, name: string): QueueView | undefined {
  return view.guests.flatMap(({ receiveq, transmitq }) => [receiveq, transmitq]).find((queue) => queue.name === name);
}
