// One front-end's connection to a port: bytes from the socket become messages, messages become turns of the session,
// turns become effects on the port and replies. One message is finished before the next is looked at.

import type { Reactor, Watch } from "../sys/reactor.js";
import { closeFd } from "../sys/memfd.js";
import { peerPid, receive, send } from "../sys/socket.js";
import type { Fd } from "../vhost-user/effects.js";
import { Framer } from "../vhost-user/framing.js";
import { MESSAGES, type WireMessage } from "../vhost-user/message.js";
import { closeSession, createSession, type SessionOptions, settle, step } from "../vhost-user/session.js";
import type { SessionState } from "../vhost-user/state.js";
import type { Port } from "./port.js";
import { beginTranscript, type OpenTranscript, type Recorder } from "./transcripts.js";

/** Longest header or payload piece that is read at once; a longer message takes several reads. */
const READ_BYTES = 4096;
/** A front-end that has negotiated features shares its memory at once; one that does not never will. */
const MEMORY_EXPECTED_MS = 3000;
/** A front-end that wants more queue pairs than there are leaves as soon as it knows; a user takes longer. */
const LEFT_AT_ONCE_MS = 1000;

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
  private unsent: { bytes: Uint8Array; fds: readonly Fd[] }[] = [];
  private memoryTimer: NodeJS.Timeout | undefined;
  private readonly begun = performance.now();
  private askedForPairs = false;
  /** Came while a message was being carried out. */
  private changedMtu: { mtu: number | null } | undefined;
  private readonly record: OpenTranscript | undefined;
  /** For the transcript: why the connection is over. */
  private reason: string | undefined;
  private end: () => void = () => {};

  constructor(
    private readonly fd: Fd,
    private readonly port: Port,
    reactor: Reactor,
    options: SessionOptions,
    recorders: readonly Recorder[],
  ) {
    this.state = createSession(options);
    this.peerPid = peerPid(fd);
    this.record = beginTranscript(recorders, {
      port: port.config.name,
      role: port.config.role,
      pid: this.peerPid,
      session: {
        ...options,
        features: this.state.offeredFeatures,
        protocolFeatures: this.state.offeredProtocolFeatures,
        queuePairs: this.state.queuePairs,
      },
    });
    port.transcript = this.record?.transcript;
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
    this.watch = reactor.watch(fd, { readable: () => this.onReadable() });
  }

  /** What has been negotiated. */
  get session(): SessionState {
    return this.state;
  }

  /** The device has another MTU, or none, from now on: GET_CONFIG says so, when a message in hand is done. */
  setMtu(mtu: number | null): void {
    if (this.busy) this.changedMtu = { mtu };
    else this.state = { ...this.state, mtu };
  }

  /** Ends the connection: rings stopped, memory unmapped, descriptors closed. */
  async close(reason = "the switch closed the port"): Promise<void> {
    this.reason ??= reason;
    // A message in hand may wait for pages, which nobody will bring.
    this.port.abandonPages();
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
    // A header and then its payload: whoever waits for the reply is not to wait for two rounds of the event loop.
    while (this.readSome() && this.framer.midMessage);
  }

  /** Reads to the end of a header or a message at most. False: there is nothing more to be read now. */
  private readSome(): boolean {
    if (this.busy || this.closing) return false;
    let received: ReturnType<typeof receive>;
    try {
      received = receive(this.fd, this.buffer.subarray(0, Math.min(this.framer.wanted, READ_BYTES)));
    } catch (error) {
      this.lost(error as Error);
      return false;
    }
    if (received === "again") return false;
    if (received.bytes === 0) {
      for (const fd of received.fds) closeFd(fd);
      const where = this.framer.midMessage ? " in the middle of a message" : "";
      if (where !== "") this.port.fail(`the front-end closed its socket${where}`);
      this.lookWhyItLeft();
      void this.close(`the front-end closed its socket${where}`);
      return false;
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
      void this.close(fault.reason);
      return false;
    }
    return true;
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
      this.reason ??= this.port.lastError;
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
    const transcript = this.record?.transcript;
    transcript?.request(message);
    this.askedForPairs ||= message.request === MESSAGES.GET_QUEUE_NUM.number;
    let turn = step(this.state, message);
    while (!turn.done) {
      // What may wait for the front-end must notice when it goes.
      if (this.port.waitsForPages) this.watch.update({ hangup: () => void this.close("the front-end has gone") });
      const outcomes = await this.port.run(turn.effects);
      transcript?.effects(turn.effects, outcomes);
      turn = settle(turn, outcomes);
    }
    this.state = { ...turn.state, ...this.changedMtu };
    this.changedMtu = undefined;
    if (turn.fault !== undefined) {
      this.port.fail(`connection closed: ${turn.fault}`);
      this.reason ??= turn.fault;
      this.closing = true;
    } else if (turn.reply !== null) {
      transcript?.reply(turn.reply);
      this.reply(turn.reply, turn.replyFds);
    }
    this.expectMemory();
  }

  /**
   * QEMU that was given more queue pairs than the port has sets up the first pair, closes the socket, tries again for
   * ever and starts no guest. It tells only its own standard error.
   */
  private lookWhyItLeft(): void {
    const { features, regions, rings, queuePairs } = this.state;
    const named = Object.keys(rings).map(Number);
    const atOnce = performance.now() - this.begun < LEFT_AT_ONCE_MS;
    if (!this.askedForPairs || !atOnce || features !== null || regions.length > 0 || named.some((i) => i > 1)) return;
    this.port.fail(
      `the front-end left when it had learned that this port has ${queuePairs} queue pairs: a guest that is configured ` +
        "with more can not attach and its QEMU waits for ever; lower the guest's queues= or raise the port's queues",
    );
  }

  /** QEMU with private RAM negotiates everything, then sends no memory and says so only in its own log. */
  private expectMemory(): void {
    const waiting = this.state.features !== null && this.state.regions.length === 0;
    if (!waiting) {
      clearTimeout(this.memoryTimer);
      this.memoryTimer = undefined;
    } else {
      this.memoryTimer ??= setTimeout(() => {
        // What is being carried out may be just that, and waits for a worker who waits for another port's pages.
        if (this.busy) {
          this.memoryTimer = undefined;
          return;
        }
        this.port.fail(
          "the front-end set features but shared no memory: is the guest's RAM shared? " +
            "QEMU: -object memory-backend-memfd,id=mem,size=…,share=on -machine memory-backend=mem",
        );
      }, MEMORY_EXPECTED_MS);
    }
  }

  /** Descriptors go with the first byte, and are closed when that has been sent. */
  private reply(bytes: Uint8Array, fds: readonly Fd[]): void {
    this.unsent.push({ bytes, fds });
    this.flush();
  }

  private flush(): void {
    while (this.unsent.length > 0) {
      const [next] = this.unsent;
      let sent: number | "again";
      try {
        sent = send(this.fd, next!.bytes, next!.fds);
      } catch (error) {
        this.lost(error as Error);
        return;
      }
      if (sent === "again") {
        this.watch.update({ writable: () => this.flush() });
        return;
      }
      for (const fd of next!.fds) closeFd(fd);
      if (sent < next!.bytes.length) this.unsent[0] = { bytes: next!.bytes.subarray(sent), fds: [] };
      else this.unsent.shift();
    }
    this.watch.update({ writable: undefined });
    this.readOn();
  }

  /** ECONNRESET and the like: the front-end has gone. */
  private lost(error: Error): void {
    this.port.log.debug(`front-end lost: ${error.message}`);
    void this.close(`the front-end has gone: ${error.message}`);
  }

  private async finishClosing(): Promise<void> {
    clearTimeout(this.memoryTimer);
    for (const fd of this.framer.abandon()) closeFd(fd);
    for (const { fds } of this.unsent.splice(0)) for (const fd of fds) closeFd(fd);
    const effects = closeSession(this.state);
    const outcomes = await this.port.run(effects);
    this.port.transcript = undefined;
    this.record?.transcript.effects(effects, outcomes);
    this.record?.transcript.closed(this.reason ?? "the switch closed the port");
    this.record?.end();
    for (const { error } of outcomes) if (error !== undefined) this.port.log.error(`while closing: ${error}`);
    this.port.forgetGuest();
    closeFd(this.fd);
    this.end();
  }
}
