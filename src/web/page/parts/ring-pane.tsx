// One ring of one guest, looked at several times a second.

import { useEffect, useState } from "preact/hooks";
import type { LivePort, LiveRing } from "../../live.js";
import { EventFeed } from "../stream.js";
import { RingPicture } from "./ring-picture.js";

interface RingPaneProps {
  token: string;
  ports: readonly LivePort[];
  port: string | undefined;
  paused: boolean;
}

export function RingPane({ token, ports, port, paused }: RingPaneProps) {
  const [own, setOwn] = useState<string>();
  const [index, setIndex] = useState(0);
  const name = port ?? ports.find((each) => each.name === own)?.name ?? (ports.find(isRunning) ?? ports[0])?.name;
  const queues = ports.find((each) => each.name === name)?.queues ?? [];
  const { ring, lost } = useRing(token, name, index, paused);

  if (name === undefined) return <p class="empty">No ports, no rings.</p>;
  return (
    <>
      <div class="filters">
        <label>
          Port{" "}
          <select value={name} disabled={port !== undefined} onChange={(event) => setOwn(event.currentTarget.value)}>
            {ports.map((each) => (
              <option key={each.name}>{each.name}</option>
            ))}
          </select>
        </label>
        <label>
          Queue{" "}
          <select value={String(index)} onChange={(event) => setIndex(Number(event.currentTarget.value))}>
            {queueChoices(queues, index).map(({ index: each, text }) => (
              <option key={each} value={String(each)}>
                {text}
              </option>
            ))}
          </select>
        </label>
      </div>
      {lost !== undefined ? (
        <p class="empty">{lost}</p>
      ) : ring === undefined ? (
        <p class="empty">Looking …</p>
      ) : ring.ring === undefined ? (
        <p class="empty">Nothing to see: {ring.absent}.</p>
      ) : (
        <RingPicture view={ring.ring} name={`${name}, ${kindOf(index)} ${index >> 1}`} />
      )}
    </>
  );
}

/** Snapshots of a ring, while it can be seen and time goes on. */
function useRing(token: string, port: string | undefined, queue: number, paused: boolean) {
  const [ring, setRing] = useState<LiveRing>();
  const [lost, setLost] = useState<string>();
  const hidden = useHidden();
  useEffect(() => {
    if (port === undefined || paused || hidden) return;
    const feed = new EventFeed(`v1/ring?port=${encodeURIComponent(port)}&queue=${queue}`, token, {
      event: (_, data) => setRing(data as LiveRing),
      link: (link) => {
        if (link.state === "live") setLost(undefined);
        if (link.state === "gone") setLost(`Not to be seen now: ${link.why}.`);
      },
    });
    return () => feed.close();
  }, [token, port, queue, paused, hidden]);
  const fits = ring?.port === port && ring?.queue === queue;
  return { ring: fits ? ring : undefined, lost };
}

function useHidden(): boolean {
  const [hidden, setHidden] = useState(document.hidden);
  useEffect(() => {
    const look = () => setHidden(document.hidden);
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  return hidden;
}

function queueChoices(queues: LivePort["queues"], chosen: number): { index: number; text: string }[] {
  const known = queues.map(({ index, state }) => ({
    index,
    text: `${index}: ${kindOf(index)} ${index >> 1}, ${state}`,
  }));
  if (known.some(({ index }) => index === chosen)) return known;
  return [{ index: chosen, text: `${chosen}: ${kindOf(chosen)} ${chosen >> 1}, not there` }, ...known];
}

function kindOf(index: number): string {
  return index % 2 === 0 ? "receiveq" : "transmitq";
}

function isRunning({ state }: LivePort): boolean {
  return state === "running";
}
