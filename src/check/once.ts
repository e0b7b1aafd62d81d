// A back-end that serves one connection and ends with it, as many small ones do: each of its sockets has a command of its
// own, which is run anew for each connection. That its process ends says nothing then; how it ends does.

import type { Restarter } from "./restart.js";

/** What is known of the process at one socket. */
interface Server {
  starter: Restarter;
  /** How it is called where there are several. */
  name: string;
  /** Connections that are open from here. */
  links: number;
  /** The end of its latest process was looked at. */
  judged: boolean;
  /** How it ends after a connection with which nothing was wrong: the first one. */
  usual?: string;
}

export class OneByOne {
  private readonly servers: Server[];
  private death: string | undefined;

  /**
   * @param starters one for each socket
   * @param timeoutMs how long a process may live on after its connection
   */
  constructor(
    starters: readonly Restarter[],
    private readonly timeoutMs: number,
  ) {
    const names = starters.length === 1 ? ["its process"] : starters.map((_, i) => `its process at socket ${i + 1}`);
    this.servers = starters.map((starter, i) => ({ starter, name: names[i]!, links: 0, judged: true }));
  }

  /** Before a connection: has a process there that no connection was given to, unless one is open. */
  async prepare(port: number): Promise<void> {
    const server = this.servers[port]!;
    if (server.links > 0 && server.starter.ended === undefined) return;
    await this.settle(server);
    await server.starter.start();
    server.judged = false;
  }

  opened(port: number): void {
    this.servers[port]!.links++;
  }

  closed(port: number): void {
    this.servers[port]!.links--;
  }

  /** How the process of a socket has ended; undefined while it runs. */
  ended(port: number): string | undefined {
    return this.servers[port]!.starter.ended;
  }

  /** Waits for those that have no connection any more to end. Returns which of all since the last time did not end well, and how. */
  async takeDeath(): Promise<string | undefined> {
    for (const server of this.servers) if (server.links === 0) await this.settle(server);
    const { death } = this;
    this.death = undefined;
    return death;
  }

  private async settle(server: Server): Promise<void> {
    if (server.judged) return;
    server.judged = true;
    const ended = await server.starter.untilEnded(this.timeoutMs);
    if (ended === undefined) {
      this.death ??= `${server.name} did not end within ${this.timeoutMs / 1000} s of its connection`;
      await server.starter.end();
      return;
    }
    const bySignal = ended.startsWith("SIG");
    if (!bySignal) server.usual ??= ended;
    if (ended !== "exit code 0" && ended !== server.usual) this.death ??= `${server.name} ended with ${ended}`;
  }
}
