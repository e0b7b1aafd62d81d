// From a stream of bytes to whole vhost-user messages. A stream socket splits and joins messages as it likes; this
// puts them together again, gives each the descriptors that came with its first byte, and holds at most one message.
// No I/O: the owner of the socket reads, pushes, and closes what a fault hands back.

import type { Fd } from "./effects.js";
import {
  FDS_MAX,
  FLAG_REPLY,
  FLAG_VERSION,
  FLAG_VERSION_MASK,
  FLAGS_KNOWN,
  FLAGS_OF_REPLY,
  HEADER_SIZE,
  PAYLOAD_SIZE_MAX,
  requestLabel,
  type WireMessage,
} from "./message.js";

/** The connection must be closed. The descriptors are the receiver's to close: nobody else has them. */
export interface FramingFault {
  reason: string;
  fds: Fd[];
}

export interface Framed {
  /** Whole messages, in order; with a fault, those that were complete before it. */
  messages: WireMessage[];
  fault?: FramingFault;
}

/**
 * Reassembles one direction of one connection.
 *
 * The kernel may join the bytes of several messages in one read but says only that descriptors came with *some* of
 * them. So read at most `wanted` bytes at a time, as every peer does: then a read never goes past the end of a
 * message, and its descriptors belong to the message that starts with it. Bytes pushed beyond `wanted` are taken, and
 * descriptors are then given to the first message that starts in the chunk.
 */
export class Framer {
  readonly #expect: "requests" | "replies";
  readonly #buffer = new Uint8Array(HEADER_SIZE + PAYLOAD_SIZE_MAX);
  #have = 0;
  #need = HEADER_SIZE;
  #fds: Fd[] = [];
  #failed: string | undefined;

  /** A back-end expects requests, a front-end replies. */
  constructor(expect: "requests" | "replies") {
    this.#expect = expect;
  }

  /** Bytes still missing to the end of the header, or of the message: how much to read next. Never 0. */
  get wanted(): number {
    return this.#need - this.#have;
  }

  /** True when a message has begun and is not complete: an end of stream now is a cut connection. */
  get midMessage(): boolean {
    return this.#have > 0;
  }

  /**
   * Take the bytes of one read and the descriptors that came with it. `truncated`: recvmsg said MSG_CTRUNC, so
   * descriptors were lost and no message after that can be trusted (M10).
   */
  push(chunk: Uint8Array, fds: readonly Fd[] = [], truncated = false): Framed {
    const messages: WireMessage[] = [];
    if (this.#failed !== undefined) return { messages, fault: { reason: this.#failed, fds: [...fds] } };
    if (truncated) return this.#fail(messages, "descriptors were lost on the way (MSG_CTRUNC)", fds);
    if (fds.length > FDS_MAX) {
      return this.#fail(messages, `${fds.length} descriptors came at once, at most ${FDS_MAX} may`, fds);
    }
    let waiting: readonly Fd[] = fds;
    for (let at = 0; at < chunk.length; ) {
      if (this.#have === 0) {
        this.#fds = [...waiting];
        waiting = [];
      }
      const taken = Math.min(this.wanted, chunk.length - at);
      this.#buffer.set(chunk.subarray(at, at + taken), this.#have);
      this.#have += taken;
      at += taken;
      if (this.#have === HEADER_SIZE && this.#need === HEADER_SIZE) {
        const fault = this.#readHeader();
        if (fault !== undefined) return this.#fail(messages, fault, waiting);
      }
      if (this.#have === this.#need) messages.push(this.#takeMessage());
    }
    if (waiting.length > 0) return this.#fail(messages, "descriptors came in the middle of a message", waiting);
    return { messages };
  }

  /** The connection has ended: the descriptors of a message that never became whole, for the caller to close. */
  abandon(): Fd[] {
    const fds = this.#fds;
    this.#fds = [];
    this.#have = 0;
    this.#need = HEADER_SIZE;
    return fds;
  }

  /** Check the header and learn the message's length; the answer is a fault's reason. */
  #readHeader(): string | undefined {
    const view = new DataView(this.#buffer.buffer);
    const label = requestLabel(view.getUint32(0, true));
    const flags = view.getUint32(4, true);
    const size = view.getUint32(8, true);
    const version = flags & FLAG_VERSION_MASK;
    if (version !== FLAG_VERSION) return `${label} has protocol version ${version}, only version 1 exists`;
    if ((flags & ~FLAGS_KNOWN) !== 0) return `${label} has unknown header flags 0x${flags.toString(16)}`;
    if (this.#expect === "requests" && (flags & FLAG_REPLY) !== 0) {
      return `${label} is marked as a reply, a front-end sends requests on this socket`;
    }
    if (this.#expect === "replies" && flags !== FLAGS_OF_REPLY) {
      return `the reply to ${label} has header flags 0x${flags.toString(16)} instead of 0x5`;
    }
    if (size > PAYLOAD_SIZE_MAX) return `${label} announces ${size} bytes of payload, at most ${PAYLOAD_SIZE_MAX} may`;
    this.#need = HEADER_SIZE + size;
    return undefined;
  }

  #takeMessage(): WireMessage {
    const view = new DataView(this.#buffer.buffer);
    const message = {
      request: view.getUint32(0, true),
      flags: view.getUint32(4, true),
      payload: this.#buffer.slice(HEADER_SIZE, this.#need),
      fds: this.#fds,
    };
    this.#fds = [];
    this.#have = 0;
    this.#need = HEADER_SIZE;
    return message;
  }

  #fail(messages: WireMessage[], reason: string, fds: readonly Fd[]): Framed {
    this.#failed = reason;
    return { messages, fault: { reason, fds: [...this.abandon(), ...fds] } };
  }
}
