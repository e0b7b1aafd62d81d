// The main thread's event loop for descriptors that Node cannot watch itself: callbacks when they are ready.
//
// One epoll set, whose own descriptor Node's loop watches. Each watch has a number of its own that its events carry: an
// event that was fetched for a watch stopped in the same batch finds no watch, even when the descriptor's number
// already belongs to another one.

import type { Fd } from "../fd.js";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, Epoll } from "./epoll.js";
import { onReadable, type ReadablePoll } from "./uv-poll.js";

const TROUBLE = EPOLLERR | EPOLLHUP;

/** What to call when; a callback that is missing is not waited for. All are level-triggered, except hangup. */
export interface WatchCallbacks {
  /** There is something to read, or the end of it: a read returns data, 0 bytes or the error. */
  readable?: () => void;
  /** There is room to write, or a write returns the error. */
  writable?: () => void;
  /** The other end has closed (or half closed). Once, after `readable`; data may still be there to be read. */
  hangup?: () => void;
}

export interface Watch {
  readonly fd: Fd;
  /** Replace the callbacks that are named, `undefined` to drop one; the others stay. */
  update(callbacks: WatchCallbacks): void;
  /** No callback comes after this. To be called before the descriptor is closed; a second call does nothing. */
  stop(): void;
}

/** Who hears of an exception that a callback threw. The watch goes on unless it is stopped there. */
export type ReactorErrorHandler = (error: unknown, watch: Watch) => void;

class ReactorWatch implements Watch {
  #callbacks: WatchCallbacks;
  #stopped = false;
  #hungUp = false;
  #armed = 0;

  constructor(
    readonly fd: Fd,
    readonly token: number,
    callbacks: WatchCallbacks,
    private readonly epoll: Epoll,
    private readonly forget: (watch: ReactorWatch) => void,
  ) {
    this.#callbacks = { ...callbacks };
    this.#arm();
  }

  update(callbacks: WatchCallbacks): void {
    if (this.#stopped) return;
    this.#callbacks = { ...this.#callbacks, ...callbacks };
    this.#arm();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.forget(this);
    if (this.#armed !== 0) this.epoll.remove(this.fd);
  }

  /** The epoll set itself is gone. */
  abandon(): void {
    this.#stopped = true;
  }

  /** Run the callbacks that the events concern; each may stop or change the watch. */
  deliver(events: number): void {
    if ((events & (EPOLLIN | EPOLLRDHUP | TROUBLE)) !== 0) this.#callbacks.readable?.();
    if (this.#stopped) return;
    if ((events & (EPOLLOUT | TROUBLE)) !== 0) this.#callbacks.writable?.();
    if (this.#stopped || this.#hungUp || (events & (EPOLLRDHUP | TROUBLE)) === 0) return;
    if (this.#callbacks.hangup === undefined) return;
    this.#hungUp = true;
    this.#arm();
    this.#callbacks.hangup();
  }

  /** Tell the kernel what is waited for. With nothing to wait for the descriptor leaves the set: a hang-up is reported
   * even when not asked for, and would wake the loop for ever. */
  #arm(): void {
    const { readable, writable, hangup } = this.#callbacks;
    const wanted =
      (readable === undefined ? 0 : EPOLLIN) |
      (writable === undefined ? 0 : EPOLLOUT) |
      (hangup === undefined || this.#hungUp ? 0 : EPOLLRDHUP);
    if (wanted === this.#armed) return;
    if (wanted === 0) this.epoll.remove(this.fd);
    else if (this.#armed === 0) this.epoll.add(this.fd, this.token, wanted);
    else this.epoll.modify(this.fd, this.token, wanted);
    this.#armed = wanted;
  }
}

/** Watches descriptors from the main thread's event loop, which it keeps alive while there is a watch. */
export class Reactor {
  readonly #epoll = new Epoll();
  readonly #watches = new Map<number, ReactorWatch>();
  readonly #onError: ReactorErrorHandler;
  readonly #poll: ReadablePoll;
  #nextToken = 1;
  #closed = false;

  /** @param onError without it an exception in a callback becomes an uncaught exception */
  constructor(onError: ReactorErrorHandler = reportUncaught) {
    this.#onError = onError;
    this.#poll = onReadable(this.#epoll.fd, () => this.#dispatch());
    this.#poll.setAlive(false);
  }

  /**
   * Call back when a descriptor is ready. The descriptor stays the caller's, who stops the watch before closing it.
   * @throws SystemError EEXIST (already watched here), EPERM (a regular file), EBADF
   */
  watch(fd: Fd, callbacks: WatchCallbacks): Watch {
    if (this.#closed) throw new Error("the reactor is closed");
    const watch = new ReactorWatch(fd, this.#takeToken(), callbacks, this.#epoll, (it) => this.#forget(it));
    this.#watches.set(watch.token, watch);
    if (this.#watches.size === 1) this.#poll.setAlive(true);
    return watch;
  }

  /** Stop all watches and let the event loop go. No callback comes after this call; the descriptors stay open. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const watch of this.#watches.values()) watch.abandon();
    this.#watches.clear();
    this.#poll.close();
    this.#epoll.close();
  }

  #forget(watch: ReactorWatch): void {
    this.#watches.delete(watch.token);
    if (this.#watches.size === 0) this.#poll.setAlive(false);
  }

  /** A number that no living watch has; it wraps around within 31 bits. */
  #takeToken(): number {
    while (this.#watches.has(this.#nextToken)) this.#nextToken = (this.#nextToken + 1) & 0x7fffffff;
    const token = this.#nextToken;
    this.#nextToken = (token + 1) & 0x7fffffff;
    return token;
  }

  #dispatch(): void {
    const { tokens, flags } = this.#epoll;
    const count = this.#epoll.wait(0);
    for (let i = 0; i < count && !this.#closed; i++) {
      const watch = this.#watches.get(tokens[i]);
      if (watch === undefined) continue;
      try {
        watch.deliver(flags[i]);
      } catch (error) {
        this.#onError(error, watch);
      }
    }
  }
}

function reportUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
