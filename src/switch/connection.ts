// One front-end's connection to a port: bytes from the socket become messages, messages become turns of the session,
// turns become effects on the port and replies. One message is finished before the next is looked at.

import type { Reactor, Watch } from "../sys/reactor.js";
import { closeFd } from "../sys/memfd.js";
import { peerPid, receive, send } from "../sys/socket.js";
import type { Fd } from "../vhost-user/effects.js";
import { Framer } from "../vhost-user/framing.js";
import type { WireMessage } from "../vhost-user/message.js";
import { closeSession, createSession, type SessionOptions, settle, step } from "../vhost-user/session.js";
import type { SessionState } from "../vhost-user/state.js";
import type { Port } from "./port.js";

/** Longest header or payload piece that is read at once; a longer message takes several reads. */
const READ_BYTES = 4096;
/** A front-end that has negotiated features shares its memory at once; one that does not never will. */
const MEMORY_EXPECTED_MS = 3000;

export class Connection {
  readonly peerPid: number | undefined;
  /** Resolves when the connection is over and everything it held is freed. */
  readonly ended: Promise<void>;
  private state: SessionState;
  private readonly framer = new Framer("requests");
  private readonly buffer = new Uint8Array(READ_BYTES);
  private readonly watch: Watch;
  private busy = false;
  private closing = false;
  private unsent: Uint8Array[] = [];
  private memoryTimer: NodeJS.Timeout | undefined;
  private end: () => void = () => {};

  constructor(
    private readonly fd: Fd,
    private readonly port: Port,
    reactor: Reactor,
    options: SessionOptions,
  ) {
    this.state = createSession(options);
    this.peerPid = peerPid(fd);
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
    this.watch = reactor.watch(fd, { readable: () => this.onReadable() });
  }

  /** What has been negotiated. */
  get session(): SessionState {
    return this.state;
  }

  /** Ends the connection: rings stopped, memory unmapped, descriptors closed. */
  async close(): Promise<void> {
    if (!this.closing) {
      this.closing = true;
      clearTimeout(this.memoryTimer);
      this.watch.stop();
      // A message in hand is finished first: it calls `finishClosing`.
      if (!this.busy) void this.finishClosing();
    }
    return this.ended;
  }

  private onReadable(): void {
    if (this.busy || this.closing) return;
    let received: ReturnType<typeof receive>;
    try {
      received = receive(this.fd, this.buffer.subarray(0, Math.min(this.framer.wanted, READ_BYTES)));
    } catch (error) {
      // ECONNRESET and the like: the front-end has gone.
      this.port.log.debug(`front-end lost: ${(error as Error).message}`);
      void this.close();
      return;
    }
    if (received === "again") return;
    if (received.bytes === 0) {
      for (const fd of received.fds) closeFd(fd);
      if (this.framer.midMessage) this.port.fail("the front-end closed its socket in the middle of a message");
      void this.close();
      return;
    }
    const { messages, fault } = this.framer.push(
      this.buffer.slice(0, received.bytes),
      received.fds,
      received.truncated,
    );
    if (messages.length > 0) void this.handle(messages);
    if (fault !== undefined) {
      for (const fd of fault.fds) closeFd(fd);
      this.port.fail(`connection closed: ${fault.reason}`);
      void this.close();
    }
  }

  /**
   * Carries out messages one after the other; the socket is not read meanwhile, nor while replies wait to be taken: a
   * front-end that asks and never listens may not fill our memory.
   */
  private async handle(messages: WireMessage[]): Promise<void> {
    this.busy = true;
    this.watch.update({ readable: undefined });
    try {
      for (const message of messages) {
        if (this.closing) {
          for (const fd of message.fds) closeFd(fd);
        } else {
          await this.carryOut(message);
        }
      }
    } catch (error) {
      // An effect does not throw; this is a fault of ours, and only this port may pay for it.
      this.port.log.error({ err: error }, "internal error: the connection is closed");
      this.port.lastError = `internal error: ${(error as Error).message}`;
      this.closing = true;
    }
    this.busy = false;
    if (this.closing) {
      this.watch.stop();
      await this.finishClosing();
    } else {
      this.readOn();
    }
  }

  private readOn(): void {
    if (!this.busy && this.unsent.length === 0) this.watch.update({ readable: () => this.onReadable() });
  }

  private async carryOut(message: WireMessage): Promise<void> {
    let turn = step(this.state, message);
    while (!turn.done) turn = settle(turn, await this.port.run(turn.effects));
    this.state = turn.state;
    if (turn.fault !== undefined) {
      this.port.fail(`connection closed: ${turn.fault}`);
      this.closing = true;
    } else if (turn.reply !== null) {
      this.reply(turn.reply);
    }
    this.expectMemory();
  }

  /** QEMU with private RAM negotiates everything, then sends no memory and says so only in its own log. */
  private expectMemory(): void {
    const waiting = this.state.features !== null && this.state.regions.length === 0;
    if (!waiting) {
      clearTimeout(this.memoryTimer);
      this.memoryTimer = undefined;
    } else {
      this.memoryTimer ??= setTimeout(() => {
        this.port.fail(
          "the front-end set features but shared no memory: is the guest's RAM shared? " +
            "QEMU: -object memory-backend-memfd,id=mem,size=…,share=on -machine memory-backend=mem",
        );
      }, MEMORY_EXPECTED_MS);
    }
  }

  private reply(bytes: Uint8Array): void {
    this.unsent.push(bytes);
    this.flush();
  }

  private flush(): void {
    while (this.unsent.length > 0) {
      const [next] = this.unsent;
      let sent: number | "again";
      try {
        sent = send(this.fd, next!);
      } catch (error) {
        this.port.log.debug(`front-end lost: ${(error as Error).message}`);
        void this.close();
        return;
      }
      if (sent === "again") {
        this.watch.update({ writable: () => this.flush() });
        return;
      }
      if (sent < next!.length) this.unsent[0] = next!.subarray(sent);
      else this.unsent.shift();
    }
    this.watch.update({ writable: undefined });
    this.readOn();
  }

  private async finishClosing(): Promise<void> {
    clearTimeout(this.memoryTimer);
    for (const fd of this.framer.abandon()) closeFd(fd);
    const outcomes = await this.port.run(closeSession(this.state));
    for (const { error } of outcomes) if (error !== undefined) this.port.log.error(`while closing: ${error}`);
    this.port.forgetAddresses();
    closeFd(this.fd);
    this.end();
  }
}
