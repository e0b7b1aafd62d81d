// A queue's picture of either form, as wide as its place. It is drawn from plain data, so a snapshot of a running switch does too.

import { useEffect, useRef, useState } from "preact/hooks";
import type { QueueView } from "../../machine/index.js";
import { PackedRing } from "./packed-ring.js";
import type { Touched } from "./parts.js";
import { SplitRing } from "./split-ring.js";

const WIDTH_LEAST = 300;
const WIDTH_MOST = 720;

interface Props {
  queue: QueueView;
  touched?: readonly Touched[];
}

export function Ring({ queue, touched = [] }: Props) {
  const { place, width } = useWidth();
  const Picture = queue.packed ? PackedRing : SplitRing;
  const { stopped, text, descriptor } = queue.status;
  return (
    <figure class="ring-figure" ref={place} aria-label={queue.name}>
      <figcaption>
        <strong class="mono">{queue.name}</strong>
        <span class="note">
          {" "}
          {queue.packed ? "packed" : "split"}, {queue.size} entries
        </span>
        {stopped && (
          <span class="stopped">
            ✕ stopped: {text}
            {descriptor !== undefined && descriptor < 0xffff ? ` (descriptor ${descriptor})` : ""}
          </span>
        )}
      </figcaption>
      {width > 0 && <Picture {...{ queue, touched, width }} />}
    </figure>
  );
}

/** The width of an element, as it is now and as it changes. */
export function useWidth() {
  const place = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      const room = Math.floor(entry!.contentRect.width);
      setWidth(Math.min(WIDTH_MOST, Math.max(WIDTH_LEAST, room)));
    });
    observer.observe(place.current!);
    return () => observer.disconnect();
  }, []);
  return { place, width };
}
