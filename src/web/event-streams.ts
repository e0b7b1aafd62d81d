// Server-sent events (HTML standard, 9.2) to several clients at once, bounded in number and in what is kept for each: a
// client that does not read is cut off, and connects again when it likes.

import type { ServerResponse } from "node:http";

export interface EventStreamsOptions {
  /** Clients at one time. */
  clients: number;
  /** Bytes that may wait for one client, beside what the kernel keeps, when there is something new to send. */
  bufferBytes: number;
}

export class EventStreams {
  private readonly clients = new Set<ServerResponse>();

  constructor(private readonly options: EventStreamsOptions) {}

  get size(): number {
    return this.clients.size;
  }

  get isFull(): boolean {
    return this.clients.size >= this.options.clients;
  }

  /**
   * Answers with a stream that begins with these events; `ended` is called when its client has gone or was cut off.
   * @throws Error when there are as many as there may be
   */
  open(response: ServerResponse, headers: Record<string, string>, first: string, ended: () => void = () => {}): void {
    if (this.isFull) throw new Error(`there are ${this.options.clients} clients already`);
    this.clients.add(response);
    response.once("close", () => {
      this.clients.delete(response);
      ended();
    });
    // Proxies shall pass events on as they come.
    const type = { "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" };
    response.writeHead(200, { ...headers, ...type });
    response.write(first);
  }

  /** Sends events (`event()`) to all. */
  send(text: string): void {
    if (this.clients.size === 0) return;
    const bytes = Buffer.from(text);
    for (const client of this.clients) {
      if (client.writableLength <= this.options.bufferBytes) client.write(bytes);
      else client.destroy();
    }
  }

  /** Ends all streams. */
  close(): void {
    for (const client of this.clients) client.end();
  }
}

/** One event as it goes over the wire: JSON has no line breaks. */
export function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** What clients pass over: it shows that the other end is there. */
export const HEARTBEAT = ":\n\n";
