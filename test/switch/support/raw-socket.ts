// A front-end's socket without manners: bytes go out as a test wants them, replies are taken when it wants them.

import { closeFd } from "../../../src/sys/memfd.js";
import { connectUnix, receive, send } from "../../../src/sys/socket.js";
import type { Fd } from "../../../src/vhost-user/effects.js";
import { Framer } from "../../../src/vhost-user/framing.js";
import { encodeMessage, FLAG_NEED_REPLY, MESSAGES, type MessageName } from "../../../src/vhost-user/message.js";
import type { Payload, WireMessage } from "../../../src/vhost-user/message.js";
import { until } from "./lab.js";

export class RawSocket {
  private readonly framer = new Framer("replies");
  private readonly replies: WireMessage[] = [];
  private fd: Fd | null;
  /** Bytes that the socket has taken. */
  sentBytes = 0;

  constructor(path: string) {
    this.fd = connectUnix(path);
  }

  /** Sends what the socket takes at once; returns how many bytes that were. */
  some(bytes: Uint8Array, fds: readonly Fd[] = []): number {
    const sent = send(this.fd!, bytes, fds);
    if (sent === "again") return 0;
    this.sentBytes += sent;
    return sent;
  }

  /** Sends all; the descriptors go with the first byte. */
  async write(bytes: Uint8Array, fds: readonly Fd[] = []): Promise<void> {
    let sent = 0;
    while (sent < bytes.length) {
      sent += await until(
        "room in the socket",
        () => this.some(bytes.subarray(sent), sent > 0 ? [] : fds) || undefined,
      );
    }
  }

  /** Sends a request with NEED_REPLY; resolves to the next reply, which must be that request's. */
  async ask(name: MessageName, payload: Payload = { kind: "none" }, fds: readonly Fd[] = []): Promise<WireMessage> {
    await this.write(encodeMessage(MESSAGES[name].number, FLAG_NEED_REPLY, payload), fds);
    const reply = await this.reply();
    if (reply.request !== MESSAGES[name].number) throw new Error(`${name} was answered with ${reply.request}`);
    return reply;
  }

  reply(): Promise<WireMessage> {
    return until("a reply", () => {
      if (this.replies.length === 0) this.read();
      return this.replies.shift();
    });
  }

  /** Resolves when the switch has closed the connection. */
  async closed(): Promise<void> {
    await until("the end of the connection", () => this.read() || undefined);
  }

  close(): void {
    if (this.fd !== null) closeFd(this.fd);
    this.fd = null;
  }

  /** Takes what has arrived; true at the end of it. */
  private read(): boolean {
    for (;;) {
      const buffer = new Uint8Array(this.framer.wanted);
      let received: ReturnType<typeof receive>;
      try {
        received = receive(this.fd!, buffer);
      } catch {
        return true; // ECONNRESET: it closed with something of ours unread.
      }
      if (received === "again") return false;
      if (received.bytes === 0) return true;
      const { messages, fault } = this.framer.push(buffer.subarray(0, received.bytes), received.fds);
      this.replies.push(...messages);
      if (fault) throw new Error(fault.reason);
    }
  }
}
