// The lab's device (src/testing/device.ts) with what the tests of the core look at: numbers by their names, and the
// drivers bare.

import * as status from "../../../assembly/spec/status.js";
import type { MappedRegion } from "../../../src/core/bridge-port.js";
import { PackedDriver } from "../../../src/guest/packed-driver.js";
import type { Buffer } from "../../../src/guest/ring-driver.js";
import { SplitDriver } from "../../../src/guest/split-driver.js";
import { type DeviceOptions, GuestDevice, type TransmitOptions } from "../../../src/testing/device.js";
import type { DeviceRam, Span } from "../../../src/testing/ram.js";
import type { TestSwitch } from "./test-switch.js";

export { BROADCAST, frame } from "./frames.js";
export { TARGETS, type Target, TestSwitch, VARIANTS } from "./test-switch.js";

export type GuestOptions = DeviceOptions;

const QUEUE_NAMES = namesOf("QUEUE_");
const DROP_NAMES = namesOf("DROP_").slice(0, status.DROP_CAUSES);

export class TestGuest extends GuestDevice {
  /** Buffers ever given to a receiveq. */
  private readonly given: Buffer[] = [];

  static async create(sw: TestSwitch, options: GuestOptions = {}): Promise<TestGuest> {
    const guest = new TestGuest(sw, options);
    await guest.start();
    return guest;
  }

  private constructor(
    override readonly sw: TestSwitch,
    options: GuestOptions,
  ) {
    super(sw, options);
  }

  get memory(): DeviceRam {
    return this.ram;
  }

  get base(): bigint {
    return this.ram.base;
  }

  get regions(): MappedRegion[] {
    return this.ram.regions;
  }

  /** The driver, for what only a split ring's has. Throws when the guest's rings are packed. */
  splitDriver(index: number): SplitDriver<unknown> {
    const driver = this.driver(index);
    if (!(driver instanceof SplitDriver)) throw new Error("this guest's rings are packed");
    return driver;
  }

  /** The driver, for what only a packed ring's has. Throws when the guest's rings are split. */
  packedDriver(index: number): PackedDriver<unknown> {
    const driver = this.driver(index);
    if (!(driver instanceof PackedDriver)) throw new Error("this guest's rings are split");
    return driver;
  }

  /** Drop counters of a queue that are not 0, by name: { DROP_TX_RUNT: 1 }. */
  drops(index: number): Record<string, number> {
    const { drops } = this.queue(index).counters();
    return Object.fromEntries(DROP_NAMES.map((name, i) => [name, drops[i]!] as const).filter(([, count]) => count > 0));
  }

  /** Status of a queue by name, and when it is broken the descriptor at which it broke. */
  state(index: number): string {
    const { status: code, statusDescriptor } = this.queue(index);
    return code === status.QUEUE_OK ? "QUEUE_OK" : `${QUEUE_NAMES[code]} at ${statusDescriptor}`;
  }

  allocate(bytes: number, align = 16): bigint {
    return this.ram.allocate(bytes, align);
  }

  mark(): () => void {
    return this.ram.mark();
  }

  spans(address: bigint, length: number): Span[] {
    return this.ram.spans(address, length);
  }

  write(address: bigint, bytes: Uint8Array): void {
    this.ram.write(address, bytes);
  }

  read(address: bigint, length: number): Uint8Array {
    return this.ram.read(address, length);
  }

  /** All that the switch may write in this guest: its part of the rings, and the buffers given to receiveqs. */
  deviceWritable(): Span[] {
    const { bytes, deviceParts } = this.rings;
    const rings = [...this.rx, ...this.tx].flatMap(({ ring }) =>
      deviceParts.map((part) => this.spans(ring[part], bytes[part])),
    );
    return [...rings, ...this.given.map(({ address, length }) => this.spans(address, length))].flat();
  }

  override giveBuffers(buffers: Buffer[], pair = 0, indirect = false): void {
    super.giveBuffers(buffers, pair, indirect);
    this.given.push(...buffers);
  }

  /** Sends a frame. Throws when the ring is full. */
  send(frame: Uint8Array, options: TransmitOptions = {}): void {
    if (!this.transmit(frame, options)) throw new Error("transmitq is full");
  }

  /** All frames received, headers checked and removed. `again`: gives the buffers anew. */
  receive(pair = 0, again = false): Uint8Array[] {
    return this.receiveWithHeaders(pair, again).map(({ header, frame }) => {
      if (header.subarray(0, 10).some((byte) => byte !== 0)) throw new Error(`header is not plain: ${header}`);
      return frame;
    });
  }
}

/** Names of the numbered constants of one family, by number. */
function namesOf(prefix: string): string[] {
  const names: string[] = [];
  for (const [name, value] of Object.entries(status)) if (name.startsWith(prefix)) names[value] ??= name;
  return names;
}
