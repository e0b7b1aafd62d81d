// What a lab's ports saw, kept as it happens.

import { type CapturedFrame, writePcapng } from "../capture/pcapng.js";

export class Capture {
  readonly frames: CapturedFrame[] = [];
  private readonly names: string[] = [];

  constructor(readonly enabled: boolean) {}

  /** Returns the interface's number. */
  addInterface(name: string): number {
    return this.names.push(name) - 1;
  }

  /** "in": from the guest into the switch; "out": from the switch to the guest. Time in nanoseconds. Keeps the bytes. */
  frame(number: number, direction: "in" | "out", bytes: Uint8Array, time: number): void {
    if (this.enabled) this.frames.push({ interface: number, direction, time, bytes });
  }

  pcapng(): Uint8Array {
    return writePcapng(this.names, this.frames);
  }
}
