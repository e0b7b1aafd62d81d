// One connection to the back-end under test. Bytes go out as a case wants them; every reply is read strictly: its header
// flags, the request it names and its size have to be what the specification says.

import { closeFd } from "../sys/memfd.js";
import { peerPid, type Received, receive, send } from "../sys/socket.js";
import type { Fd } from "../vhost-user/effects.js";
import { Framer } from "../vhost-user/framing.js";
import {
  encodeMessage,
  FLAG_NEED_REPLY,
  MESSAGES,
  type MessageName,
  requestLabel,
  type WireMessage,
} from "../vhost-user/message.js";
import { decodePayload, type Payload } from "../vhost-user/payload.js";
import { NONE } from "./payloads.js";
import { demand, Failure, Gone } from "./verdict.js";
import { within } from "./wait.js";

/**
 * What became of a request that should be refused. taken: not closed, and no acknowledgement was negotiated that could
 * say more. unanswered: NEED_REPLY was set, and the next request was answered instead. silent: nothing is answered any more.
 */
export type Outcome = "done" | "refused" | "closed" | "taken" | "unanswered" | "silent";

/** How an outcome is told. */
export const OUTCOME_WORDS: Record<Outcome, string> = {
  done: "it was acknowledged as done",
  refused: "it was refused",
  closed: "the connection was closed",
  taken: "it was taken, without an acknowledgement",
  unanswered: "it was not acknowledged, the next request was answered",
  silent: "neither it nor the next request was answered",
};

/**
 * Demands that a request was refused, or the connection closed. Without acknowledgements it may have been ignored, which
 * nobody can see. Returns what came, in words.
 */
export function mustRefuse(outcome: Outcome): string {
  demand(["refused", "closed", "taken"].includes(outcome), OUTCOME_WORDS[outcome]);
  return OUTCOME_WORDS[outcome];
}

export class Link {
  /** REPLY_ACK was negotiated: NEED_REPLY is answered. */
  acks = false;
  /** The back-end's process, where the kernel tells. */
  readonly pid: number | undefined;
  private readonly framer = new Framer("replies");
  private readonly inbox: WireMessage[] = [];
  private ended: string | undefined;
  /** What is wrong with the bytes that came: no message can be found in what follows. */
  private garbled: string | undefined;
  private open = true;

  /**
   * @param fd a connected socket, from now on owned by this object
   * @param timeoutMs how long the back-end may take for one answer
   * @param onClose told when it is closed from here
   */
  constructor(
    private readonly fd: Fd,
    readonly timeoutMs: number,
    private readonly onClose: () => void = () => {},
  ) {
    this.pid = peerPid(fd);
  }

  /** Sends bytes as they are; the descriptors go with the first. Throws Gone, or a Failure when nobody reads them. */
  async write(bytes: Uint8Array, fds: readonly Fd[] = []): Promise<void> {
    for (let sent = 0; sent < bytes.length; ) {
      const part = bytes.subarray(sent);
      const taken = await within(this.timeoutMs, () => this.attempt(() => send(this.fd, part, sent > 0 ? [] : fds)));
      demand(taken !== undefined, `the back-end did not read its socket for ${this.timeoutMs / 1000} s`);
      sent += taken;
    }
  }

  /** Sends a request that no reply is waited for. */
  async say(name: MessageName, payload: Payload = NONE, fds: readonly Fd[] = [], flags = 0): Promise<void> {
    await this.write(encodeMessage(MESSAGES[name].number, flags, payload), fds);
  }

  /** The next reply, of whatever request. Throws Gone, or a Failure when none comes; `what` is what it was to be. */
  async next(what: string): Promise<WireMessage> {
    const message = await within(this.timeoutMs, () => {
      if (this.inbox.length === 0) this.read();
      return this.inbox.shift() ?? (this.ended === undefined ? undefined : null);
    });
    if (message) return message;
    if (message === null) throw new Gone(`${this.ended} instead of ${what}`);
    throw new Failure(`${what} did not come within ${this.timeoutMs / 1000} s`);
  }

  /** A request that has a reply of its own; resolves to that. */
  async ask(name: MessageName, payload: Payload = NONE, fds: readonly Fd[] = [], flags = 0): Promise<Payload> {
    await this.say(name, payload, fds, flags);
    return this.reply(name);
  }

  /** The next reply, which has to be that of this request. */
  async reply(name: MessageName): Promise<Payload> {
    const { number, reply } = MESSAGES[name];
    const message = await this.next(`the reply to ${name}`);
    const label = requestLabel(message.request);
    demand(message.request === number, `a reply to ${label} came instead of the one to ${name}`);
    demand(reply !== "other", `the reply to ${name} is not known here`);
    const kind = reply === "ack" ? "u64" : reply === "config" && message.payload.length === 0 ? "none" : reply;
    const payload = decodePayload(kind, message.payload);
    demand(payload.kind !== "bad", `the reply to ${name} has ${message.payload.length} bytes of payload`);
    return payload;
  }

  /** A request whose reply is a number. */
  async number(name: MessageName, payload: Payload = NONE, fds: readonly Fd[] = []): Promise<bigint> {
    const reply = await this.ask(name, payload, fds);
    demand(reply.kind === "u64", `the reply to ${name} is no u64`);
    return reply.value;
  }

  /** A request that has to be carried out; where acknowledgements were negotiated, it is acknowledged with 0. */
  async done(name: MessageName, payload: Payload = NONE, fds: readonly Fd[] = []): Promise<void> {
    if (!this.acks) return this.say(name, payload, fds);
    await this.say(name, payload, fds, FLAG_NEED_REPLY);
    const reply = await this.reply(name);
    demand(reply.kind === "u64" && reply.value === 0n, `${name} was refused`);
  }

  /** Resolves when all requests so far have been read and looked at: they are taken in order. */
  async settle(): Promise<void> {
    await this.number("GET_FEATURES");
  }

  /** What becomes of a request that nobody should carry out. */
  outcome(name: MessageName, payload: Payload = NONE, fds: readonly Fd[] = []): Promise<Outcome> {
    const { number, reply } = MESSAGES[name];
    // One that has a reply of its own needs no acknowledgement.
    const flags = this.acks && reply === "ack" ? FLAG_NEED_REPLY : 0;
    return this.outcomeOf(encodeMessage(number, flags, payload), fds);
  }

  /** The same for any bytes that begin with a header. A GET_FEATURES behind them shows whether the back-end goes on. */
  async outcomeOf(bytes: Uint8Array, fds: readonly Fd[] = []): Promise<Outcome> {
    const request = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const barrier = MESSAGES.GET_FEATURES.number;
    let answer: WireMessage | undefined;
    try {
      await this.write(bytes, fds);
      await this.say("GET_FEATURES");
      for (;;) {
        const message = await this.next("an answer");
        if (message.request === barrier) break;
        demand(message.request === request, `a reply to ${requestLabel(message.request)}, which had not been asked`);
        answer = message;
      }
    } catch (error) {
      // Whoever says "done" and leaves has not taken it.
      if (error instanceof Gone) return answer && outcomeOfAnswer(answer) === "refused" ? "refused" : "closed";
      const nothing = answer === undefined && this.ended === undefined && this.garbled === undefined;
      if (nothing && error instanceof Failure) return "silent";
      throw error;
    }
    if (answer) return outcomeOfAnswer(answer);
    return this.acks ? "unanswered" : "taken";
  }

  /** True when the back-end closes the connection within the time limit. */
  async closes(): Promise<boolean> {
    const closed = await within(this.timeoutMs, () => {
      this.read();
      return this.ended !== undefined || undefined;
    });
    return closed ?? false;
  }

  /** Whether the back-end is known to have closed it. */
  get gone(): boolean {
    return this.ended !== undefined;
  }

  /** Leaves without a word. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    for (const fd of this.framer.abandon()) closeFd(fd);
    closeFd(this.fd);
    this.onClose();
  }

  /** Takes what has arrived. */
  private read(): void {
    while (this.ended === undefined && this.open) {
      const buffer = new Uint8Array(this.framer.wanted);
      const received = this.tryReceive(buffer);
      if (received === undefined) return;
      const { messages, fault } = this.framer.push(buffer.subarray(0, received.bytes), received.fds);
      for (const fd of [...messages.flatMap(({ fds }) => fds), ...(fault?.fds ?? [])]) closeFd(fd);
      this.inbox.push(...messages);
      if (received.bytes === 0) this.ended = "the back-end closed the connection";
      if (fault) this.garbled = fault.reason;
      if (this.garbled !== undefined) throw new Failure(this.garbled);
    }
  }

  /** Undefined when nothing has arrived, or will any more. */
  private tryReceive(buffer: Uint8Array): Received | undefined {
    try {
      return this.attempt(() => receive(this.fd, buffer));
    } catch (error) {
      if (error instanceof Gone) return undefined;
      throw error;
    }
  }

  /** A call on the socket; undefined when it would have to wait. Throws Gone when the other end is not there. */
  private attempt<T>(call: () => T | "again"): T | undefined {
    demand(this.open, "the case used a connection that it had closed");
    try {
      const result = call();
      return result === "again" ? undefined : result;
    } catch (error) {
      this.ended ??= `the back-end closed the connection (${(error as { code?: string }).code ?? error})`;
      throw new Gone(this.ended);
    }
  }
}

/** 0, or nothing at all as of SET_LOG_BASE: done. Everything else says that it was not. */
function outcomeOfAnswer({ payload }: WireMessage): Outcome {
  return payload.some((byte) => byte !== 0) ? "refused" : "done";
}
