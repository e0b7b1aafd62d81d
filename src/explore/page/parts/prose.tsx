// Draws the lessons' markup.

import { clauseTitle, clauseUrl } from "../../lessons/clauses.js";
import { parseProse, type Span } from "../../lessons/prose.js";

export function Prose({ text }: { text: string }) {
  return (
    <>
      {parseProse(text).map(({ kind, items }, i) =>
        kind === "paragraph" ? (
          <p key={i}>
            <Inline spans={items[0]!} />
          </p>
        ) : (
          <ul key={i}>
            {items.map((spans, j) => (
              <li key={j}>
                <Inline spans={spans} />
              </li>
            ))}
          </ul>
        ),
      )}
    </>
  );
}

/** One line of it, without a paragraph around. */
export function Line({ text }: { text: string }) {
  return <Inline spans={parseProse(text)[0]!.items[0]!} />;
}

function Inline({ spans }: { spans: readonly Span[] }) {
  return (
    <>
      {spans.map((span, i) => (
        <One key={i} span={span} />
      ))}
    </>
  );
}

function One({ span }: { span: Span }) {
  const { kind, text } = span;
  if (kind === "code") return <code>{text}</code>;
  if (kind === "stress") return <em>{text}</em>;
  if (kind === "link") return <a href={span.to}>{text}</a>;
  if (kind === "text") return <>{text}</>;
  return (
    <a
      class="clause"
      href={clauseUrl(text)}
      target="_blank"
      rel="noreferrer"
      title={`virtio 1.3, ${text}: ${clauseTitle(text)}`}
    >
      §{text}
    </a>
  );
}
