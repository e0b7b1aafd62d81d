// The back-end "null": a thread in this process that passes frames on between the rings of each pair of ports and does
// nothing else (assembly/driver/null-device.ts). What the generator reaches against it, is the generator's limit.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { builtFile } from "../guest/children.js";
import type { RigGuest } from "./rig.js";

/** Words of the shared array. */
export const RUNNING = 0;

export interface NullDeviceOptions {
  memory: WebAssembly.Memory;
  cpu: number;
  nice?: number;
}

/** What the thread is told: the driver's structs of transmitq and receiveq. */
export interface NullThreadData extends NullDeviceOptions {
  words: Int32Array;
  ways: { transmitq: number; receiveq: number }[];
}

export class NullDevice {
  private readonly words = new Int32Array(new SharedArrayBuffer(64));
  private readonly thread: Worker;

  static async start(guests: readonly RigGuest[], options: NullDeviceOptions): Promise<NullDevice> {
    const device = new NullDevice(guests, options);
    await once(device.thread, "message");
    return device;
  }

  private constructor(guests: readonly RigGuest[], options: NullDeviceOptions) {
    const ways = guests.flatMap(({ transmitqs }, port) =>
      transmitqs.map(({ pointer }, pair) => ({
        transmitq: pointer,
        receiveq: guests[port ^ 1]!.receiveqs[pair]!.pointer,
      })),
    );
    const workerData: NullThreadData = { ...options, words: this.words, ways };
    this.thread = new Worker(builtFile("src/bench/null-thread.js"), { workerData, name: "null back-end" });
  }

  hold(): void {
    Atomics.store(this.words, RUNNING, 0);
  }

  resume(): void {
    Atomics.store(this.words, RUNNING, 1);
    Atomics.notify(this.words, RUNNING);
  }

  async close(): Promise<void> {
    await this.thread.terminate();
  }
}
