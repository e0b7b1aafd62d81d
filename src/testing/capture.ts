// What a lab's ports saw, kept as it happens: bytes in large pieces, the rest in columns of numbers, for a lab may see
// millions of frames, and an array and an object for each would cost more than the frame.

import { type CapturedFrame, writePcapng } from "../capture/pcapng.js";

const CHUNK = 256 * 1024;

export class Capture {
  private readonly names: string[] = [];
  private readonly chunks: Uint8Array[] = [];
  /** Bytes in use of the last chunk. */
  private used = CHUNK;
  /** For each frame: twice the interface's number, and one more for "out"; nanoseconds; bytes; whether a chunk begins. */
  private readonly places: number[] = [];
  private readonly times: number[] = [];
  private readonly lengths: number[] = [];
  private readonly begins: boolean[] = [];

  constructor(readonly enabled: boolean) {}

  /** Returns the interface's number. */
  addInterface(name: string): number {
    return this.names.push(name) - 1;
  }

  /** "in": from the guest into the switch; "out": from the switch to the guest. Time in nanoseconds. Copies the bytes. */
  frame(number: number, direction: "in" | "out", bytes: Uint8Array, time: number): void {
    if (!this.enabled) return;
    const begins = this.used + bytes.length > CHUNK;
    if (begins) {
      this.chunks.push(new Uint8Array(Math.max(CHUNK, bytes.length)));
      this.used = 0;
    }
    this.chunks.at(-1)!.set(bytes, this.used);
    this.used += bytes.length;
    this.places.push(2 * number + (direction === "out" ? 1 : 0));
    this.times.push(time);
    this.lengths.push(bytes.length);
    this.begins.push(begins);
  }

  /** All frames so far, in order. */
  get frames(): CapturedFrame[] {
    let chunk = -1;
    let at = 0;
    return this.places.map((place, i) => {
      if (this.begins[i]) {
        chunk++;
        at = 0;
      }
      const bytes = this.chunks[chunk]!.subarray(at, at + this.lengths[i]!);
      at += bytes.length;
      return { interface: place >> 1, direction: place & 1 ? "out" : "in", time: this.times[i]!, bytes };
    });
  }

  pcapng(): Uint8Array {
    return writePcapng(this.names, this.frames);
  }
}
