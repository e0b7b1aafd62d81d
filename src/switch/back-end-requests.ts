// Our own requests to a front-end, over the socket that it gave with SET_BACKEND_REQ_FD. Nobody waits for an answer here,
// and a front-end that does not read keeps so many requests from being sent, no more.

import { fstatSync } from "node:fs";
import type { Reactor, Watch } from "../sys/reactor.js";
import { closeFd } from "../sys/memfd.js";
import { receive, send, setNonBlocking } from "../sys/socket.js";
import type { Fd } from "../vhost-user/effects.js";
import { Framer } from "../vhost-user/framing.js";
import { IOTLB_MISS } from "../vhost-user/iotlb.js";
import { encodeMessage, FLAG_NEED_REPLY } from "../vhost-user/message.js";
import { decodePayload } from "../vhost-user/payload.js";

/** VHOST_USER_BACKEND_IOTLB_MSG. */
const BACKEND_IOTLB_MSG = 1;
/** Bytes that wait to be sent: beyond them nothing is asked. */
const UNSENT_MAX = 64 * 1024;
const READ_BYTES = 4096;

export interface BackEndRequestsOptions {
  fd: Fd;
  /** REPLY_ACK was negotiated: each request is answered. */
  needReply: boolean;
  reactor: Reactor;
  /** The front-end has answered a question, which is named as by whoever asked; `refused`: it has no translation. */
  onAnswer: (question: bigint, refused: boolean) => void;
  /** The socket can not be used any more; why. */
  onLost: (reason: string) => void;
}

export class BackEndRequests {
  private readonly watch: Watch;
  private readonly framer = new Framer("replies");
  private readonly buffer = new Uint8Array(READ_BYTES);
  /** What was asked, in the order in which the answers come. */
  private readonly unanswered: bigint[] = [];
  private unsent = new Uint8Array(0);
  private stopped = false;

  /** The descriptor stays the caller's. Throws when it is no socket. */
  constructor(private readonly options: BackEndRequestsOptions) {
    const { fd, reactor } = options;
    if (!fstatSync(fd).isSocket()) throw new Error("the descriptor of SET_BACKEND_REQ_FD is no socket");
    setNonBlocking(fd, true);
    this.watch = reactor.watch(fd, { readable: () => this.onReadable() });
  }

  /** IOTLB_MSG MISS; `question` is what onAnswer will call it. False: the front-end is behind with reading, ask later. */
  askTranslation(question: bigint, iova: bigint, permission: number): boolean {
    const { needReply } = this.options;
    if (this.stopped) return false;
    const fields = { iova, size: 0n, userAddress: 0n, permission, type: IOTLB_MISS };
    const bytes = encodeMessage(BACKEND_IOTLB_MSG, needReply ? FLAG_NEED_REPLY : 0, { kind: "iotlb", ...fields });
    if (this.unsent.length + bytes.length > UNSENT_MAX) return false;
    if (needReply) this.unanswered.push(question);
    this.unsent = Buffer.concat([this.unsent, bytes]);
    this.flush();
    return true;
  }

  /** Uses the socket no more. */
  stop(): void {
    this.stopped = true;
    this.watch.stop();
  }

  private flush(): void {
    while (this.unsent.length > 0 && !this.stopped) {
      let sent: number | "again";
      try {
        sent = send(this.options.fd, this.unsent);
      } catch (error) {
        this.lost((error as Error).message);
        return;
      }
      if (sent === "again") {
        this.watch.update({ writable: () => this.flush() });
        return;
      }
      this.unsent = this.unsent.subarray(sent);
    }
    this.watch.update({ writable: undefined });
  }

  private onReadable(): void {
    let received: ReturnType<typeof receive>;
    try {
      received = receive(this.options.fd, this.buffer);
    } catch (error) {
      this.lost((error as Error).message);
      return;
    }
    if (received === "again") return;
    // None belong to an answer.
    for (const fd of received.fds) closeFd(fd);
    if (received.bytes === 0) {
      this.lost("the front-end closed it");
      return;
    }
    const { messages, fault } = this.framer.push(this.buffer.slice(0, received.bytes));
    for (const { payload: bytes } of messages) {
      const question = this.unanswered.shift();
      const payload = decodePayload("u64", bytes);
      if (question === undefined || payload.kind !== "u64") {
        this.lost("an answer came that answers nothing");
        return;
      }
      this.options.onAnswer(question, payload.value !== 0n);
    }
    if (fault !== undefined) this.lost(fault.reason);
  }

  private lost(reason: string): void {
    if (this.stopped) return;
    this.stop();
    this.options.onLost(reason);
  }
}
