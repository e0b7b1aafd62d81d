// The front-end's end of one vhost-user connection: sends a request, waits for its reply, knows when the other side
// has left. Which requests, and in which order, is said by the scripts of vhost-user/front-end-session.ts.

import { closeFd } from "../sys/memfd.js";
import type { Reactor, Watch } from "../sys/reactor.js";
import { receive, send } from "../sys/socket.js";
import type { Fd } from "../vhost-user/effects.js";
import { Framer } from "../vhost-user/framing.js";
import { decodeReply, encodeRequest, expectsReply, type FrontEndRequest } from "../vhost-user/front-end-session.js";
import type { Payload, WireMessage } from "../vhost-user/message.js";

interface Waiting<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

export class BackEndConnection {
  private readonly watch: Watch;
  private readonly framer = new Framer("replies");
  private reply: Waiting<WireMessage> | undefined;
  private writable: Waiting<void> | undefined;
  private ended: Error | undefined;
  /** Told once when the connection ends other than by `close`. */
  onLost: (error: Error) => void = () => {};

  /**
   * @param fd a connected socket, from now on owned by this object
   * @param name of the socket, for messages: its path
   * @param timeoutMs how long one request may take
   */
  constructor(
    private readonly fd: Fd,
    reactor: Reactor,
    private readonly name: string,
    private readonly timeoutMs: number,
  ) {
    this.watch = reactor.watch(fd, { readable: () => this.read() });
  }

  /**
   * Sends one request; resolves with its reply, or with null when it has none. One at a time.
   * Rejects with a sentence when the switch does not answer in time, answers something else, or has gone.
   */
  async exchange(request: FrontEndRequest): Promise<Payload | null> {
    if (this.ended) throw this.ended;
    const late = `the switch at ${this.name} did not ${expectsReply(request) ? "answer" : "take"} ${request.name}`;
    const timer = setTimeout(() => {
      this.fail(new Error(`${late} within ${this.timeoutMs / 1000} s`));
    }, this.timeoutMs);
    try {
      await this.write(encodeRequest(request), request.fds);
      if (!expectsReply(request)) return null;
      const message = await new Promise<WireMessage>((resolve, reject) => {
        this.reply = { resolve, reject };
      });
      return decodeReply(request, message);
    } finally {
      clearTimeout(timer);
      this.reply = undefined;
    }
  }

  /** Ends the connection; the back-end then stops the rings. */
  close(): void {
    this.end(new Error(`the connection to ${this.name} is closed`));
  }

  private async write(bytes: Uint8Array, fds: readonly Fd[]): Promise<void> {
    let sent = 0;
    while (sent < bytes.length) {
      if (this.ended) throw this.ended;
      // The descriptors travel with the first byte.
      const taken = this.attempt(() => send(this.fd, bytes.subarray(sent), sent === 0 ? fds : []));
      if (taken !== "again") {
        sent += taken;
        continue;
      }
      try {
        await new Promise<void>((resolve, reject) => {
          this.writable = { resolve, reject };
          this.watch.update({ writable: () => resolve() });
        });
      } finally {
        this.writable = undefined;
        this.watch.update({ writable: undefined });
      }
    }
  }

  /** Takes what has arrived. */
  private read(): void {
    while (this.ended === undefined) {
      const buffer = new Uint8Array(this.framer.wanted);
      let received: ReturnType<typeof receive>;
      try {
        received = this.attempt(() => receive(this.fd, buffer));
      } catch {
        return; // `attempt` has ended the connection and told whoever waits.
      }
      if (received === "again") return;
      if (received.bytes === 0) this.fail(new Error(`the switch closed the connection at ${this.name}`));
      else this.push(buffer.subarray(0, received.bytes), received.fds, received.truncated);
    }
  }

  private push(bytes: Uint8Array, fds: readonly Fd[], truncated: boolean): void {
    const { messages, fault } = this.framer.push(bytes, fds, truncated);
    for (const fd of fault?.fds ?? []) closeFd(fd);
    for (const message of messages) this.take(message);
    if (fault) this.fail(new Error(`the switch at ${this.name} broke the protocol: ${fault.reason}`));
  }

  private take(message: WireMessage): void {
    for (const fd of message.fds) closeFd(fd);
    const { reply } = this;
    this.reply = undefined;
    if (reply) reply.resolve(message);
    else this.fail(new Error(`the switch at ${this.name} sent a reply that nothing had asked for`));
  }

  /** A system call whose failure ends the connection. */
  private attempt<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      const lost = new Error(`the switch at ${this.name} has gone: ${(error as Error).message}`);
      this.fail(lost);
      throw lost;
    }
  }

  private fail(error: Error): void {
    if (this.ended) return;
    this.end(error);
    this.onLost(error);
  }

  private end(error: Error): void {
    if (this.ended) return;
    this.ended = error;
    this.watch.stop();
    closeFd(this.fd);
    for (const fd of this.framer.abandon()) closeFd(fd);
    this.reply?.reject(error);
    this.writable?.reject(error);
  }
}
