// The page's picture of the switch: the state that it was told, and every change since.

import { useEffect, useReducer } from "preact/hooks";
import type { LiveChange, LiveMessage, LivePort, LiveState } from "../live.js";
import { History } from "./history.js";
import { EventFeed, type Link } from "./stream.js";

const MESSAGES_MAX = 500;
/** Changes that are kept while the picture stands still: a quarter of an hour. */
const HELD_MAX = 1800;

const SAME_START_MS = 2000;

export interface Picture extends Omit<LiveState, "ports"> {
  ports: LivePort[];
}

export class Model {
  link: Link = { state: "connecting" };
  picture: Picture | undefined;
  history = new History();
  paused = false;
  private held: LiveChange[] = [];
  /** Too much came while the picture stood still: all must be asked for again. */
  private overfull = false;
  private feed: EventFeed;
  /** Between the switch's clock and this one, milliseconds. */
  private offset = 0;
  private readonly listeners = new Set<() => void>();

  constructor(private token: string) {
    this.feed = this.open();
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** What this page shows when it asks for something else, as a ring. */
  get currentToken(): string {
    return this.token;
  }

  use(token: string): void {
    this.token = token;
    this.feed.close();
    this.feed = this.open();
  }

  pause(paused: boolean): void {
    this.paused = paused;
    if (!paused) {
      if (this.overfull) this.feed.again();
      else for (const change of this.held) this.apply(change);
      this.held = [];
      this.overfull = false;
    }
    this.tell();
  }

  private open(): EventFeed {
    return new EventFeed("v1/live", this.token, {
      link: (link) => {
        if (link.state === "gone" && this.link.state === "live") this.history.gap(Date.now() / 1000);
        // While it is tried again the reason stays in sight.
        if (!(link.state === "connecting" && this.link.state === "gone")) this.link = link;
        this.tell();
      },
      event: (name, data) => {
        if (name === "state") this.begin(data as LiveState);
        else if (name === "change") this.change(data as LiveChange);
      },
    });
  }

  private begin(state: LiveState): void {
    if (this.paused && this.picture !== undefined) {
      this.overfull = true;
      return;
    }
    // Another process than before: its counters have nothing to do with those that are drawn.
    const other = this.picture !== undefined && isOther(this.picture, state);
    if (this.picture === undefined || other) this.history = new History();
    this.held = [];
    this.overfull = false;
    this.offset = Date.now() - state.takenAtMs;
    this.picture = state;
    this.history.add(state.takenAtMs, this.timeOf(state.takenAtMs), state.ports);
    this.tell();
  }

  private change(change: LiveChange): void {
    if (this.paused) {
      if (this.held.length < HELD_MAX) this.held.push(change);
      else this.overfull = true;
      return;
    }
    this.apply(change);
    this.tell();
  }

  private apply(change: LiveChange): void {
    if (this.picture === undefined) return;
    this.picture = applyChange(this.picture, change);
    this.history.add(change.takenAtMs, this.timeOf(change.takenAtMs), this.picture.ports);
  }

  private timeOf(takenAtMs: number): number {
    return (takenAtMs + this.offset) / 1000;
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** Whether the switch was started again in between. In a container its process number may be the same. */
function isOther(before: Picture, now: LiveState): boolean {
  return before.pid !== now.pid || Math.abs(before.startedAt - now.startedAt) > SAME_START_MS;
}

/** The picture after a change; what has not changed stays the same object. */
export function applyChange(picture: Picture, change: LiveChange): Picture {
  const { ports: portChanges = [], portsGone = [], messages = [], messagesMissed = 0, ...rest } = change;
  let { ports } = picture;
  if (portsGone.length > 0) ports = ports.filter(({ name }) => !portsGone.includes(name));
  for (const portChange of portChanges) {
    const index = ports.findIndex(({ name }) => name === portChange.name);
    const merged = { ...ports[index], ...portChange } as Record<string, unknown>;
    for (const [key, value] of Object.entries(merged)) if (value === null) delete merged[key];
    const port = merged as unknown as LivePort;
    ports = index < 0 ? [...ports, port] : ports.with(index, port);
  }
  return {
    ...picture,
    ...rest,
    ports,
    messages: joined(picture.messages, messages),
    messagesMissed: picture.messagesMissed + messagesMissed,
  };
}

/** Those of a change may be known already. */
function joined(known: LiveMessage[], more: LiveMessage[]): LiveMessage[] {
  const last = known.at(-1)?.number ?? 0;
  const fresh = more.filter(({ number }) => number > last);
  return fresh.length === 0 ? known : [...known, ...fresh].slice(-MESSAGES_MAX);
}

/** Draws again whenever the model has changed, unless nobody can see it. */
export function useModel(model: Model): void {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const look = () => {
      if (!document.hidden) again(0);
    };
    document.addEventListener("visibilitychange", look);
    const forget = model.subscribe(look);
    // What came between the first picture and now was told to nobody.
    look();
    return () => {
      document.removeEventListener("visibilitychange", look);
      forget();
    };
  }, [model]);
}
