// A client of the live page's server: the events of one stream, one after the other.

export interface StreamEvent<T = unknown> {
  name: string;
  data: T;
}

/** An open stream. */
export class EventReader {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private readonly decoder = new TextDecoder();
  private text = "";

  private constructor(
    readonly response: Response,
    private readonly stop: AbortController,
  ) {
    this.reader = response.body!.getReader();
  }

  /** Asks for a stream; throws what the server says when it gives none. */
  static async open(url: string, token: string): Promise<EventReader> {
    const stop = new AbortController();
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, signal: stop.signal });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    return new EventReader(response, stop);
  }

  /** The next event; undefined when the stream is over. Rejects when it breaks off. */
  async next<T>(): Promise<StreamEvent<T> | undefined> {
    for (;;) {
      const end = this.text.indexOf("\n\n");
      if (end >= 0) {
        const block = this.text.slice(0, end);
        this.text = this.text.slice(end + 2);
        if (block.startsWith(":")) continue;
        const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(block)!;
        return { name: name!, data: JSON.parse(data!) as T };
      }
      const { done, value } = await this.reader.read();
      if (done) return undefined;
      this.text += this.decoder.decode(value, { stream: true });
    }
  }

  /** The data of the first event from here on for which `wanted` is true. */
  async until<T>(wanted: (data: T) => boolean): Promise<T> {
    for (;;) {
      const event = await this.next<T>();
      if (event === undefined) throw new Error("the stream ended before what was waited for");
      if (wanted(event.data)) return event.data;
    }
  }

  close(): void {
    this.stop.abort();
  }
}
