// What a lab's ports saw, kept as it happens.

import { type CapturedFrame, writePcapng } from "../capture/pcapng.js";

export class Capture {
  readonly frames: CapturedFrame[] = [];
  private readonly names: string[] = [];

  constructor(readonly enabled: boolean) {}

  addInterface(name: string): void {
    this.names.push(name);
  }

  /** "in": from the guest into the switch; "out": from the switch to the guest. Time in nanoseconds. */
  frame(name: string, direction: "in" | "out", bytes: Uint8Array, time: number): void {
    if (this.enabled) this.frames.push({ interface: this.names.indexOf(name), direction, time, bytes });
  }

  pcapng(): Uint8Array {
    return writePcapng(this.names, this.frames);
  }
}
