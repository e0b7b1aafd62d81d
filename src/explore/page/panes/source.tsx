// The source line of the step in hand, in the core or in a guest's driver, with the clauses of the virtio specification it obeys.

import { useEffect, useRef } from "preact/hooks";
import { clauseTitle, clauseUrl } from "../../lessons/clauses.js";
import type { Event } from "../../machine/index.js";
import type { Session } from "../session.js";
import type { Sources } from "../core-files.js";

const AROUND = 40;

export function Source({ session, sources }: { session: Session; sources: Sources }) {
  const { current } = session;
  const site = current?.site;
  return (
    <section class="pane source" aria-label="Source line">
      <header>
        <h3>Source</h3>
        {site && (
          <span class="mono note">
            {site.file}:{site.line}
          </span>
        )}
      </header>
      {site ? <Listing site={site} text={sources.text(site.file)} /> : <p class="note">{missing(current)}</p>}
      {site && site.clauses.length > 0 && (
        <p class="clauses">
          virtio 1.3:{" "}
          {site.clauses.map((clause) => (
            <a key={clause} href={clauseUrl(clause)} target="_blank" rel="noreferrer">
              {clause} {clauseTitle(clause)}
            </a>
          ))}
        </p>
      )}
    </section>
  );
}

function missing(current: Event | undefined): string {
  if (!current) return "The first step shows its line here.";
  return current.what === "access"
    ? "This line is in AssemblyScript's library."
    : `${current.text}: no memory is touched.`;
}

type Site = NonNullable<Event["site"]>;

function Listing({ site, text }: { site: Site; text: string | undefined }) {
  const box = useRef<HTMLPreElement>(null);
  const lines = text?.split("\n");
  const first = Math.max(1, Math.min(site.function?.line ?? site.line, site.line) - 3, site.line - AROUND);
  const last = Math.min(
    lines?.length ?? site.line,
    Math.max(site.function?.endLine ?? site.line, site.line + 3),
    site.line + AROUND,
  );
  useEffect(() => {
    const { current } = box;
    const line = current?.querySelector<HTMLElement>(".is-here");
    if (current && line) current.scrollTop = line.offsetTop - current.clientHeight / 2;
  }, [site.file, site.line]);
  return (
    <pre ref={box} tabIndex={0} role="group" aria-label={`${site.file}, line ${site.line}`}>
      {(lines?.slice(first - 1, last) ?? [site.text]).map((line, i) => (
        <span key={first + i} class={first + i === site.line ? "line is-here" : "line"}>
          <span class="line-number">{first + i}</span>
          {line || " "}
          {"\n"}
        </span>
      ))}
    </pre>
  );
}
