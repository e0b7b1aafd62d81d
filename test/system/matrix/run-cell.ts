// One cell of the matrix on two running guests: NICs in, features as asked, pings, TCP both ways, NICs out.
import { expect } from "vitest";
import type { PortStatus, QueueStatus } from "../../../src/api/status.js";
import { FEATURE_NAMES } from "../../../src/vhost-user/features.js";
import { type Guest, startGuest } from "../lib/guest.js";
import { type Nic, plugNic } from "../lib/nic.js";
import { type RunningSwitch, type SwitchPort, socketPort, startSwitch } from "../lib/switch.js";
import { bulk, ping } from "../lib/traffic.js";
import { type Cell, headerBytes, sides } from "./cells.js";

/** MiB of TCP each way in a cell, a multiple of 4. */
const bulkMib = Number(process.env.RINGBRIDGE_MATRIX_MIB ?? 4);
/** The longest Ethernet frame to a guest without offloads: MTU 1500 and the header. */
const plainFrameBytes = 1514;

/** What a cell showed beside that it passed. */
export interface CellResult {
  /** Mean bytes of a frame of TCP's data: as sent by the first guest, and as the second got it. */
  sentFrameBytes: number;
  receivedFrameBytes: number;
  /** Frames of that stream that the switch cut into segments. */
  cutFrames: number;
  /** Frames dropped because the receiving guest had no buffer. */
  lateFrames: number;
}

/** A switch and two guests without NICs, which the cells plug in. */
export class Bench {
  private constructor(
    readonly bridge: RunningSwitch,
    readonly guests: readonly [Guest, Guest],
    private readonly ports: readonly [SwitchPort, SwitchPort],
  ) {}

  static async start(name: string): Promise<Bench> {
    const ports = [socketPort(`${name}1`), socketPort(`${name}2`)] as const;
    const bridge = await startSwitch(ports);
    const guest = (number: 1 | 2) =>
      startGuest({
        ...{ qemu: "10", machine: "pc", name: `${name}${number}`, programs: ["ethtool"] },
        ...{ mac: `52:54:00:00:0a:0${number}`, address: `10.0.10.${number}/24` },
      });
    const bench = new Bench(bridge, [await guest(1), await guest(2)], ports);
    await Promise.all(bench.guests.map((one) => one.booted()));
    return bench;
  }

  async stop(): Promise<void> {
    for (const guest of this.guests) await guest.kill();
    await this.bridge.kill();
  }

  /**
   * Runs a cell, or two: the first guest of one with the second of the other. Throws at the first thing that is not as
   * it must be, with the NICs still in.
   */
  async run(cell: Cell, other: Cell = cell): Promise<CellResult> {
    const cells = [cell, other] as const;
    const [first, second] = [sides(cell)[0], sides(other)[1]];
    const nics: Nic[] = [];
    const dropsBefore = new Map<string, number>();
    for (const { name } of this.ports) dropsBefore.set(name, (await this.bridge.port(name)).drops["no-rx-buffer"] ?? 0);
    for (const [index, { device }] of [first, second].entries()) {
      nics.push(
        await plugNic(this.guests[index]!, this.bridge, {
          ...{ port: this.ports[index]!, queuePairs: cells[index]!.pairs, device },
        }),
      );
    }
    for (const [index, { accepted, refused }] of [first, second].entries()) {
      const features = await nics[index]!.features();
      // What the back-end does not offer would make the cell test something else.
      expect(names(accepted.filter((bit) => !features.has(bit)))).toEqual([]);
      expect(names(refused.filter((bit) => features.has(bit)))).toEqual([]);
    }
    for (const [index, { name }] of this.ports.entries()) {
      expect((await this.bridge.port(name)).headerBytes).toBe(headerBytes(cells[index]!));
    }
    const [one, two] = this.guests;
    expect(await ping(one, two, 10)).toBe(10);
    // Larger than a frame: fragments.
    expect(await ping(two, one, 5, 0.05, 6000)).toBe(5);
    if (cell.pairs > 1 && cell.pairs === other.pairs) await this.spread(cell.pairs);
    const result = await this.streams();
    // Long frames pass whole where the second guest takes them, and are cut where not: nothing longer than MTU arrives.
    const cut = first.offloads && !second.offloads;
    expect(result.cutFrames > 0, `${result.cutFrames} frames were cut`).toBe(cut);
    if (!second.offloads) expect(result.receivedFrameBytes).toBeLessThanOrEqual(plainFrameBytes);

    for (const { name } of this.ports) {
      const { queues, drops, lastError } = await this.bridge.port(name);
      expect(queues.filter(({ state }) => state === "broken")).toEqual([]);
      // A guest that is slower than the other has no buffer now and then, and TCP mends that; nothing else may happen.
      const { "no-rx-buffer": late = 0, ...causes } = drops;
      result.lateFrames += late - dropsBefore.get(name)!;
      expect({ causes, lastError }).toEqual({ causes: {}, lastError: undefined });
    }
    for (const nic of nics) await nic.unplug();
    return result;
  }

  /** Sees that every queue of the first guest sends, and every one of the second receives. */
  private async spread(pairs: number): Promise<void> {
    const [one, two] = this.guests;
    const frames = async () => {
      const [from, to] = await Promise.all(this.ports.map(({ name }) => this.bridge.port(name)));
      const count = (queues: QueueStatus[], kind: QueueStatus["kind"]) =>
        queues.filter((queue) => queue.kind === kind).map((queue) => queue.frames);
      return [...count(from!.queues, "transmitq"), ...count(to!.queues, "receiveq")];
    };
    const before = await frames();
    // Each attempt is a flow with a hash of its own, by which the guest chooses its queue: that one of four stays
    // without any of 60 happens once in ten million times.
    await one.must(`for i in $(seq ${15 * pairs}); do nc -w 1 ${two.ip} 9 </dev/null 2>/dev/null || true; done`);
    const after = await frames();
    expect(after.length).toBe(2 * pairs);
    expect(after.filter((count, index) => count === before[index])).toEqual([]);
  }

  /** TCP both ways, and the lengths of the first stream's frames. */
  private async streams(): Promise<CellResult> {
    const [one, two] = this.guests;
    const before = await Promise.all(this.ports.map(({ name }) => this.bridge.port(name)));
    const there = await bulk(one, two, bulkMib);
    const after = await Promise.all(this.ports.map(({ name }) => this.bridge.port(name)));
    const back = await bulk(two, one, bulkMib);
    for (const { sent, received } of [there, back]) {
      expect(sent).toMatch(/^[0-9a-f]{64}$/);
      expect(received).toBe(sent);
    }
    const mean = (index: number, bytes: "rxBytes" | "txBytes", frames: "rxFrames" | "txFrames") =>
      (after[index]![bytes] - before[index]![bytes]) / (after[index]![frames] - before[index]![frames]);
    return {
      sentFrameBytes: Math.round(mean(0, "rxBytes", "rxFrames")),
      receivedFrameBytes: Math.round(mean(1, "txBytes", "txFrames")),
      cutFrames: cutFrames(after[1]!) - cutFrames(before[1]!),
      lateFrames: 0,
    };
  }
}

function cutFrames({ queues }: PortStatus): number {
  return queues.reduce((sum, { softwareOffloads }) => sum + (softwareOffloads?.segmented ?? 0), 0);
}

function names(bits: readonly number[]): string[] {
  return bits.map((bit) => FEATURE_NAMES[bit] ?? `bit ${bit}`);
}
