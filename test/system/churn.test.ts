// Front-ends that come and go, in good order and not: a switch that runs for months must not keep anything of them.
// The front-end is our own, with real sockets, memory files and eventfds, since 200 QEMUs would take an hour.
import { connect as connectSocket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { createMemory } from "../../src/core/module.js";
import { FrontEnd } from "../../src/guest/front-end.js";
import { Reactor } from "../../src/sys/reactor.js";
import { describeNeeding } from "./lib/needs.js";
import { progress, waitFor } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";

const cycles = 200;
const ramBytes = 4 << 20;
const frontEndBytes = 2 * ramBytes;

describeNeeding(["switch"], "front-ends that come and go", () => {
  const [steadyPort, churnPort] = [socketPort("steady"), socketPort("churn")];
  const reactor = new Reactor();
  const memory = createMemory((2 * frontEndBytes) / 65536);
  let bridge: RunningSwitch;
  let steady: FrontEnd;

  const frontEnd = (path: string, window: number, script: "qemu" | "dpdk" = "qemu"): FrontEnd =>
    new FrontEnd({
      ...{ path, window, script, reactor, memory, bytes: ramBytes, regions: 2 },
      ...{ queueSize: 256, pairs: 2, features: bits(VIRTIO_F_VERSION_1), timeoutMs: 10_000 },
    });

  /** The ways to leave, in turn. */
  const leave: ((visitor: FrontEnd) => Promise<void>)[] = [
    async (visitor) => {
      await visitor.connect();
      await visitor.start();
      await visitor.stop();
    },
    // With its rings running, as a killed QEMU.
    async (visitor) => {
      await visitor.connect();
      await visitor.start();
    },
    // A guest that resets and starts again, then is killed.
    async (visitor) => {
      await visitor.connect();
      await visitor.start();
      await visitor.stop();
      await visitor.start();
    },
    // Before its memory was known.
    async (visitor) => {
      await visitor.connect();
    },
    // In the middle of the first message.
    () =>
      new Promise((resolve, reject) => {
        const socket = connectSocket(churnPort.path, () => socket.end(Buffer.of(1, 0, 0), () => socket.destroy()));
        socket.once("close", () => resolve()).once("error", reject);
      }),
  ];

  const cycle = async (number: number): Promise<void> => {
    const visitor = frontEnd(churnPort.path, frontEndBytes, number % 2 === 0 ? "qemu" : "dpdk");
    try {
      await leave[number % leave.length]!(visitor);
    } finally {
      visitor.close();
    }
  };

  beforeAll(async () => {
    bridge = await startSwitch([steadyPort, churnPort]);
    steady = frontEnd(steadyPort.path, 0);
    await steady.connect();
    await steady.start();
  });
  afterAll(async () => {
    steady?.close();
    await reactor.close();
    await bridge?.kill();
  });

  test(`${cycles} connections leave descriptors and mappings as they were`, async () => {
    // Whatever is made once, on the first visit, is made before the first look.
    for (let number = 0; number < 2 * leave.length; number++) await cycle(number);
    await bridge.waitForState("waiting", [churnPort.name]);
    const before = {
      descriptors: bridge.descriptors(),
      memory: bridge.memoryMappings(),
      all: bridge.mappings(),
      connections: (await bridge.port(churnPort.name)).connections,
    };

    // The steady guest's RAM, by which this test knows that it sees such mappings at all.
    expect(before.memory).toBeGreaterThan(0);

    for (let number = 0; number < cycles; number++) await cycle(number);
    await bridge.waitForState("waiting", [churnPort.name]);
    // The connection of the last status request may still be closing.
    await waitFor(`the switch to be back at ${before.descriptors} descriptors`, 10_000, () => {
      return bridge.descriptors() <= before.descriptors;
    });
    expect(bridge.memoryMappings()).toBe(before.memory);
    // The engine's own heap grows and shrinks by a few; one mapping lost per connection would be far more.
    expect(bridge.mappings()).toBeLessThan(before.all + 40);
    expect((await bridge.port(churnPort.name)).connections).toBe(before.connections + cycles);
    progress(`churn: mappings ${before.all} before, ${bridge.mappings()} after`);

    const { state, connections, regions } = await bridge.port(steadyPort.name);
    expect({ state, connections, regions: regions.length }).toEqual({ state: "running", connections: 1, regions: 2 });
  });
});
