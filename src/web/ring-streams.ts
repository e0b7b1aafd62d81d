// Streams of snapshots of rings. Each ring that somebody looks at is read once, however many look.

import type { ServerResponse } from "node:http";
import { EventStreams, type EventStreamsOptions, event, HEARTBEAT } from "./event-streams.js";
import type { LiveRing } from "./live.js";
import type { LiveSource } from "./live-source.js";
import { Pace } from "./pace.js";

/** Four times a second is a movement still, and no strain. */
const RING_MS = 250;
/** A client that has gone without a word is found out by what is sent to it. */
const HEARTBEAT_MS = 15_000;

interface Watched {
  port: string;
  queue: number;
  streams: EventStreams;
  /** What was sent last, but for the time: a ring that stands still is not sent again. */
  last: string;
  sentAt: number;
}

export class RingStreams {
  private readonly watched = new Map<string, Watched>();
  private readonly pace = new Pace(RING_MS, () => this.look());
  private count = 0;

  constructor(
    private readonly source: LiveSource,
    private readonly options: EventStreamsOptions,
  ) {}

  get isFull(): boolean {
    return this.count >= this.options.clients;
  }

  /** Answers with the events of one ring; false, and no answer yet, when there is no such port. */
  open(response: ServerResponse, headers: Record<string, string>, port: string, queue: number): boolean {
    const now = this.read(port, queue);
    if (now === undefined) return false;
    const key = `${port}/${queue}`;
    let watched = this.watched.get(key);
    if (watched === undefined) {
      watched = { port, queue, streams: new EventStreams(this.options), last: "", sentAt: performance.now() };
      this.watched.set(key, watched);
    }
    const { streams } = watched;
    this.count++;
    streams.open(response, headers, event("ring", now), () => {
      this.count--;
      if (streams.size === 0) this.watched.delete(key);
    });
    this.pace.start();
    return true;
  }

  close(): void {
    this.pace.stop();
    for (const { streams } of this.watched.values()) streams.close();
  }

  private look(): void {
    if (this.watched.size === 0) {
      this.pace.stop();
      return;
    }
    for (const watched of this.watched.values()) {
      const { port, queue } = watched;
      const now = this.read(port, queue) ?? { port, queue, takenAtMs: performance.now(), absent: "the port is gone" };
      const { takenAtMs: _, ...content } = now;
      const text = JSON.stringify(content);
      const still = text === watched.last;
      if (still && now.takenAtMs - watched.sentAt < HEARTBEAT_MS) continue;
      watched.last = text;
      watched.sentAt = now.takenAtMs;
      watched.streams.send(still ? HEARTBEAT : event("ring", now));
    }
  }

  private read(port: string, queue: number): LiveRing | undefined {
    const ring = this.source.ring(port, queue);
    if (ring === undefined) return undefined;
    const head = { port, queue, takenAtMs: performance.now() };
    return "absent" in ring ? { ...head, absent: ring.absent } : { ...head, ring };
  }
}
