// One match of the core against the plain bridge: each operation is done to both, and all that can be seen is compared.

import assert from "node:assert/strict";
import { DROP_CAUSES } from "../../assembly/spec/status.js";
import * as status from "../../assembly/spec/status.js";
import type { Buffer as GuestBuffer } from "../../src/guest/ring-driver.js";
import { CoreSwitch, type CoreSwitchOptions } from "../../src/testing/core-switch.js";
import { RingJudge } from "../../src/testing/judge/judge.js";
import { macBytes } from "../../src/testing/frames/address.js";
import { ModelBridge, ModelPort } from "./bridge.js";
import { ModelGuest, type ModelShape } from "./guest.js";
import type { Operation } from "./properties/bridge.js";

const CAUSES = Object.entries(status)
  .filter(([name]) => name.startsWith("DROP_") && name !== "DROP_CAUSES")
  .sort(([, a], [, b]) => a - b)
  .map(([name]) => name);

/** A build of the core, and a memory that no living switch uses; a build that tells of its stores is made an instance by `instantiate`. */
export type CoreSource = Pick<CoreSwitchOptions, "module" | "memory" | "instantiate">;

export class Match {
  readonly judge: RingJudge;
  readonly guests: ModelGuest[] = [];
  readonly model: ModelBridge;
  /** Chains that senders have got back. */
  returned = 0;
  private readonly stopped = new Map<string, number>();
  private readonly offered: number[] = [];
  private number = 0;
  private last: number | undefined;

  static async create(
    core: CoreSource,
    shapes: readonly ModelShape[],
    fdb: { ageingSeconds: number; limit: number; portLimit: number },
  ): Promise<Match> {
    const match = new Match(new CoreSwitch({ ...core, fdb }), new ModelBridge(fdb));
    for (const shape of shapes) {
      const guest = await ModelGuest.create(match.sw, shape);
      const port = new ModelPort(guest.device.headerBytes, shape.mergeable ?? false);
      for (const lengths of shape.buffers) {
        if (!guest.giveNew(lengths)) break;
        port.buffers.push({ room: lengths.reduce((sum, length) => sum + length, 0), bad: false });
      }
      match.guests.push(guest);
      match.model.ports.push(port);
      match.offered.push(0);
    }
    return match;
  }

  private constructor(
    readonly sw: CoreSwitch,
    model: ModelBridge,
  ) {
    this.model = model;
    this.judge = new RingJudge(sw);
  }

  /** Does one operation; port numbers beyond the last begin again at 0. */
  async play(operation: Operation): Promise<void> {
    const of = (port: number) => port % this.guests.length;
    if ("send" in operation) return this.send(of(operation.send), operation);
    if ("poll" in operation) {
      this.poll();
      return;
    }
    if ("wish" in operation) {
      this.guests[of(operation.wish)]!.device.driver(operation.queue).wantCalls(operation.wanted);
      return;
    }
    if ("sleep" in operation) return this.sleep();
    await this.settle();
    const { sw, model } = this;
    if ("take" in operation) return this.take(of(operation.take));
    if ("pass" in operation) sw.now += operation.pass;
    else if ("age" in operation) {
      sw.bridge.ageFdb(sw.now);
      model.age(sw.now);
    } else if ("flush" in operation) {
      sw.bridge.flushFdb(this.guests[of(operation.flush)]!.device.port);
      model.flush(of(operation.flush));
    } else if ("stop" in operation) await this.stopOrStart(of(operation.stop), operation.queue as 0 | 1);
    else if ("enable" in operation) await this.enable(of(operation.enable), operation.queue);
    else if ("mtu" in operation) {
      sw.bridge.setMtu(this.guests[of(operation.mtu)]!.device.port, operation.bytes || undefined);
      model.ports[of(operation.mtu)]!.mtu = operation.bytes;
    } else if ("log" in operation) {
      const { device, log } = this.guests[of(operation.log)]!;
      await sw.bridge.setLog(device.port, device.port.log ? undefined : log);
    } else if ("bad" in operation) await this.sendBad(of(operation.bad), operation.kind);
    else if ("spoil" in operation) this.spoil(of(operation.spoil), operation.writable);
    else await this.breakRing(of(operation.break), operation.kind);
  }

  private async send(port: number, what: Extract<Operation, { send: number }>): Promise<void> {
    // One port's burst at a time: between ports the order of service is the switch's own business.
    if (this.last !== undefined && this.last !== port) await this.settle();
    this.last = port;
    if (this.stopped.has(`${port}/1`)) return;
    const guest = this.guests[port]!;
    const { device, shape } = guest;
    const indirect = what.indirect && (shape.indirect ?? false);
    const pieces = what.pieces.slice(0, device.size - 1);
    for (let i = 0; i < what.times; i++) {
      const bytes = frameBytes(what.destination, what.source, what.length, this.number++);
      const sent = () => device.transmit(bytes, { pieces, indirect });
      if (!sent()) {
        await this.settle();
        this.last = port;
        assert.ok(sent(), "an empty ring has no room for a frame");
      }
      this.offered[port]!++;
      this.model.send(port, { ...what, bytes }, this.sw.now);
    }
  }

  private poll(): number {
    this.clearLogs();
    const moved = this.sw.poll();
    this.sw.takeCalls();
    return moved;
  }

  /** The switch goes to sleep, or finds that it must not, and wakes. */
  private sleep(): void {
    this.clearLogs();
    this.sw.arm();
    this.clearLogs();
    this.sw.disarm();
  }

  /** What was marked before must be marked again. */
  private clearLogs(): void {
    for (const { device, log } of this.guests) {
      if (device.port.log) this.sw.bridge.views.bytes.fill(0, log.window, log.window + Number(log.size));
    }
  }

  /** Lets the switch move all there is, and compares tables and counters. */
  async settle(): Promise<void> {
    this.last = undefined;
    for (let rounds = 0; this.poll() > 0; rounds++) assert.ok(rounds < 10_000, "the switch never comes to rest");
    for (const [port, { device }] of this.guests.entries()) {
      this.returned += device.reclaim();
      const model = this.model.ports[port]!;
      for (const queue of [0, 1] as const)
        assert.deepEqual(this.drops(port, queue), model.drops[queue], `drops ${port}/${queue}`);
      assert.deepEqual(device.port.queues.get(1)!.counters().frames, this.offered[port], `frames taken from ${port}`);
    }
    assert.equal(
      this.returned,
      this.offered.reduce((sum, count) => sum + count, 0),
      "chains that came back to their senders",
    );
    const table = this.sw.bridge.fdbEntries().map(({ mac, port, seen }) => `${mac} ${port} ${seen}`);
    assert.deepEqual(table.sort(), this.model.addresses(), "learned addresses");
  }

  /** A guest takes what has arrived and gives the buffers again. */
  async take(port: number): Promise<void> {
    const { device, bad } = this.guests[port]!;
    const model = this.model.ports[port]!;
    const chains: GuestBuffer[][] = [];
    const frames: Uint8Array[] = [];
    for (let next = device.receiveOne(0, chains); next; next = device.receiveOne(0, chains)) {
      assert.ok(
        next.header.subarray(0, 10).every((byte) => byte === 0),
        `header is not plain: ${next.header}`,
      );
      frames.push(next.frame);
    }
    assert.deepEqual(frames.map(hex), model.received.splice(0).map(hex), `frames at port ${port}`);
    for (const chain of chains) {
      if (bad.delete(chain)) continue;
      device.giveBuffers(chain);
      model.buffers.push({ room: chain.reduce((sum, { length }) => sum + length, 0), bad: false });
    }
  }

  private async stopOrStart(port: number, queue: 0 | 1): Promise<void> {
    const { device } = this.guests[port]!;
    const { bridge } = this.sw;
    const key = `${port}/${queue}`;
    const at = this.stopped.get(key);
    if (at === undefined) {
      const stood = await bridge.stopQueue(device.port, queue);
      assert.equal(stood, this.judge.position(device, queue), `where ring ${key} stood`);
      this.stopped.set(key, stood);
    } else {
      const area = device.queue(queue).struct.get("inflight");
      this.stopped.delete(key);
      await device.startQueue(queue, at, 1, device.queue(queue).enabled);
      device.queue(queue).struct.set("inflight", area);
      // One that is disabled when it starts is given time; that is another test's matter.
      if (queue === 1 && !device.queue(1).enabled) device.queue(1).struct.set("drainFrom", 0);
    }
    this.reachable(port);
  }

  private async enable(port: number, queue: number): Promise<void> {
    const { device } = this.guests[port]!;
    await this.sw.bridge.setEnabled(device.port, queue, !device.queue(queue).enabled);
    if (queue === 1) this.model.ports[port]!.enabled = device.queue(1).enabled;
    this.reachable(port);
  }

  private reachable(port: number): void {
    this.model.ports[port]!.running = !this.stopped.has(`${port}/0`) && this.guests[port]!.device.queue(0).enabled;
  }

  private async sendBad(port: number, kind: Extract<Operation, { bad: number }>["kind"]): Promise<void> {
    if (this.stopped.has(`${port}/1`)) return;
    const cause = this.guests[port]!.sendBad(kind);
    if (cause === undefined) return;
    this.offered[port]!++;
    const model = this.model.ports[port]!;
    model.drop(1, model.enabled ? cause : "DROP_DISABLED");
    await this.settle();
  }

  private spoil(port: number, writable: boolean): void {
    if (this.guests[port]!.giveBad(writable)) this.model.ports[port]!.buffers.push({ room: 0, bad: true });
  }

  private async breakRing(port: number, kind: Extract<Operation, { break: number }>["kind"]): Promise<void> {
    const guest = this.guests[port]!;
    const queue = guest.device.queue(1);
    if (this.stopped.has(`${port}/1`) || !queue.enabled) return;
    const expected = guest.breakRing(kind);
    this.poll();
    assert.equal(queue.status, expected, `status of a transmitq with a bad ${kind}`);
    await guest.mend();
    await this.settle();
  }

  private drops(port: number, queue: 0 | 1): Record<string, number> {
    const { drops } = this.guests[port]!.device.queue(queue).counters();
    assert.equal(drops.length, DROP_CAUSES);
    return Object.fromEntries(CAUSES.map((name, i) => [name, drops[i]!] as const).filter(([, count]) => count > 0));
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** A frame that no other is like. */
function frameBytes(destination: string, source: string, length: number, number: number): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + number * 17) & 0xff);
  bytes.set([...macBytes(destination), ...macBytes(source), 0x88, 0xb5]);
  new DataView(bytes.buffer).setUint32(14, number);
  return bytes;
}
