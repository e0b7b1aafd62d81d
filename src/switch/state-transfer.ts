// One transfer of a port's state through a front-end's descriptor, written or read as the other side takes or gives it:
// nobody waits for a front-end that does not.

import { Socket } from "node:net";
import { closeFd } from "../sys/memfd.js";
import type { Fd } from "../fd.js";

/** A transfer that the front-end says is over, and that does not end, is given up after this time. */
const END_EXPECTED_MS = 5000;

export class StateTransfer {
  private readonly socket: Socket;
  private readonly done: Promise<void>;

  /** Begins to write `bytes`; the descriptor is closed behind the last. */
  static save(fd: Fd, bytes: Uint8Array): StateTransfer {
    return new StateTransfer(fd, { writable: true }, (socket, resolve) => {
      socket.once("finish", resolve);
      socket.end(bytes);
    });
  }

  /** Begins to read up to `limit` bytes, till the other side closes; then `take` is given all of them. */
  static load(fd: Fd, limit: number, take: (bytes: Uint8Array) => void): StateTransfer {
    return new StateTransfer(fd, { readable: true }, (socket, resolve, reject) => {
      const chunks: Buffer[] = [];
      let length = 0;
      socket.on("data", (chunk) => {
        length += chunk.length;
        if (length > limit) socket.destroy(new Error(`the state that came has more than ${limit} bytes`));
        else chunks.push(chunk);
      });
      socket.once("end", () => {
        try {
          take(Buffer.concat(chunks));
          resolve();
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }

  private constructor(
    fd: Fd,
    direction: { readable?: boolean; writable?: boolean },
    begin: (socket: Socket, resolve: () => void, reject: (error: Error) => void) => void,
  ) {
    try {
      this.socket = new Socket({ fd, readable: false, writable: false, ...direction, allowHalfOpen: true });
    } catch (error) {
      closeFd(fd);
      throw new Error(`the descriptor for the state is no pipe (${(error as Error).message})`);
    }
    this.done = new Promise((resolve, reject) => {
      this.socket.once("error", reject);
      this.socket.once("close", () => reject(new Error("the transfer of the state was ended before its end")));
      begin(this.socket, resolve, reject);
    });
    // Asked for in `finish`, if ever.
    this.done.catch(() => {});
    this.done.then(
      () => this.socket.destroy(),
      () => this.socket.destroy(),
    );
  }

  /** Waits for the end. Rejects with a sentence when the state did not come, or go, whole. */
  async finish(): Promise<void> {
    const late = setTimeout(() => {
      this.socket.destroy(new Error(`the transfer of the state did not end within ${END_EXPECTED_MS / 1000} s`));
    }, END_EXPECTED_MS);
    try {
      await this.done;
    } finally {
      clearTimeout(late);
    }
  }

  abort(): void {
    this.socket.destroy();
  }
}
