// The page's end of the server's streams: events as they come, and again and again after the connection was lost.

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 10_000;
/** The switch sends something at least so often, or it has gone without a word. */
const SILENCE_MS = 45_000;

/** How the connection stands. */
export type Link =
  | { state: "connecting" }
  | { state: "live" }
  /** `retryAt`: milliseconds since 1970. */
  | { state: "gone"; why: string; retryAt: number }
  /** The switch wants another token. */
  | { state: "token" };

export interface StreamHandlers {
  event(name: string, data: unknown): void;
  link(link: Link): void;
}

/** Reads a stream until `close`. */
export class EventFeed {
  private stop = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private delayMs = RETRY_FIRST_MS;

  constructor(
    private readonly path: string,
    private readonly token: string,
    private readonly handlers: StreamHandlers,
  ) {
    void this.run();
  }

  close(): void {
    clearTimeout(this.timer);
    this.stop.abort();
  }

  /** Begins again, now. */
  again(): void {
    this.close();
    this.stop = new AbortController();
    void this.run();
  }

  private async run(): Promise<void> {
    const { stop, handlers } = this;
    handlers.link({ state: "connecting" });
    try {
      const response = await fetch(this.path, {
        headers: { authorization: `Bearer ${this.token}` },
        signal: stop.signal,
        cache: "no-store",
      });
      if (stop.signal.aborted) return;
      if (response.status === 401) {
        handlers.link({ state: "token" });
        return;
      }
      if (response.status !== 200 || response.body === null) throw new Error(await refusal(response));
      this.delayMs = RETRY_FIRST_MS;
      handlers.link({ state: "live" });
      await read(response.body, stop, (name, data) => {
        if (!stop.signal.aborted) handlers.event(name, data);
      });
      throw new Error("the switch has ended the connection");
    } catch (error) {
      if (stop.signal.aborted && stop.signal.reason !== "silence") return;
      const { message } = error as Error;
      // What browsers say of a connection that cannot be made is different in each, and says nothing.
      const why = error instanceof TypeError ? "the switch does not answer" : message;
      handlers.link({ state: "gone", why, retryAt: Date.now() + this.delayMs });
      this.timer = setTimeout(() => this.again(), this.delayMs);
      this.delayMs = Math.min(this.delayMs * 2, RETRY_MAX_MS);
    }
  }
}

async function refusal(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return String((JSON.parse(text) as { error: unknown }).error);
  } catch {
    return `the switch answered with HTTP status ${response.status}`;
  }
}

async function read(
  body: ReadableStream<Uint8Array>,
  stop: AbortController,
  onEvent: (name: string, data: unknown) => void,
): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const silence = setTimeout(() => stop.abort("silence"), SILENCE_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(block) ?? [];
      if (name !== undefined && data !== undefined) onEvent(name, JSON.parse(data));
    }
  }
}

const KEY = "ringbridge-token";

/** The token behind "#" in the URL, which is taken out of sight, or the one of before in this tab. */
export function tokenOfPage(): string {
  const [, given] = /^#token=([\w.~-]+)$/.exec(location.hash) ?? [];
  if (given === undefined) return kept() ?? "";
  history.replaceState(null, "", location.pathname);
  keepToken(given);
  return given;
}

/** So that the tab may be loaded again. */
export function keepToken(token: string): void {
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // Then it lasts as long as the page.
  }
}

function kept(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}
