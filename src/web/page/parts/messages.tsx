// What front-ends and the switch say to each other, as a sequence from top to bottom.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { formatCount } from "../../../cli/table.js";
import type { LiveMessage } from "../../live.js";
import type { Picture } from "../model.js";
import { Scroll } from "./scroll.js";

export function Messages({ picture, port }: { picture: Picture; port: string | undefined }) {
  const [details, setDetails] = useState(false);
  const shown = picture.messages.filter((message) => port === undefined || message.port === port);
  const scroller = useRef<HTMLElement>(null);
  const atEnd = useRef(true);
  const last = shown.at(-1)?.number;
  // Who looks at the end goes on looking at the end.
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element !== null && atEnd.current) element.scrollTop = element.scrollHeight;
  }, [last, details]);
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller.current!;
    atEnd.current = scrollTop + clientHeight > scrollHeight - 24;
  };
  if (shown.length === 0) {
    return (
      <p class="empty">
        {port === undefined ? "No front-end has connected" : `No front-end has connected to ${port}`} since the switch
        was started.
      </p>
    );
  }
  return (
    <>
      <div class="filters">
        <label>
          <input type="checkbox" checked={details} onChange={(event) => setDetails(event.currentTarget.checked)} />{" "}
          whole text of every message
        </label>
      </div>
      <Scroll
        label="Messages, the newest last"
        more={details ? "messages whole" : "messages"}
        element={scroller}
        onScroll={onScroll}
      >
        <ol>
          {shown.map((message) => (
            <Line key={message.number} message={message} named={port === undefined} />
          ))}
        </ol>
      </Scroll>
      <p class="note">
        The last {formatCount(shown.length)}
        {picture.messagesMissed > 0 && `; ${formatCount(picture.messagesMissed)} came too fast to be kept`}. ! means
        that the front-end wants an acknowledgement. <code>ringbridge run --record</code> keeps all of them.
      </p>
    </>
  );
}

/** Whence and whither, in a character. */
const ARROWS: Record<LiveMessage["kind"], [arrow: string, said: string]> = {
  "front-end": ["▶", "to the switch"],
  "back-end": ["◀", "from the switch"],
  ring: ["◦", "a ring"],
  failed: ["⚠", "failed"],
  opened: ["●", "connection"],
  closed: ["○", "connection"],
};

function Line({ message, named }: { message: LiveMessage; named: boolean }) {
  const { kind, name, text, at, port, needReply } = message;
  const [arrow, said] = ARROWS[kind];
  return (
    <li class={`message message-${kind}`}>
      <span class="time">{timeOf(at)}</span>
      {named && <span class="port">{port}</span>}
      <span class="arrow" title={said}>
        <span aria-hidden="true">{arrow}</span>
        <span class="visually-hidden">{said}</span>
      </span>
      <span class="name">
        {name}
        {needReply && " !"}
      </span>
      <span class="text">{text}</span>
    </li>
  );
}

function timeOf(at: number): string {
  const date = new Date(at);
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
