// DPDK's own virtio driver on both sides: millions of frames of many sizes circle between two virtio-user ports through
// the switch, and in the end every single one is accounted for, as received or as a counted drop.
import { expect, test } from "vitest";
import type { SwitchStatus } from "../../src/api/status.js";
import { describeNeeding } from "./lib/needs.js";
import { progress, waitFor } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { startTestpmd, type Testpmd } from "./lib/testpmd.js";

/** Frames in the whole file, all variants and sizes together. */
const totalFrames = Number(process.env.RINGBRIDGE_FRAMES ?? 10_000_000);
const frameSizes = [64, 65, 256, 594, 1024, 1518];
const variants = [
  { server: false, mrg_rxbuf: 1 },
  { server: false, mrg_rxbuf: 0 },
  { server: true, mrg_rxbuf: 1 },
  { server: true, mrg_rxbuf: 0 },
];
const macs = ["52:54:00:00:05:01", "52:54:00:00:05:02"];

describeNeeding(["switch", "testpmd"], "DPDK virtio-user", () => {
  test.each(variants)("F20, F30, F35: every frame is accounted for, %o", async ({ server, mrg_rxbuf }) => {
    const ports = [0, 1].map((index) =>
      socketPort(`pmd${index}-${server}-${mrg_rxbuf}`, server ? "connect" : "listen"),
    );
    const bridge = await startSwitch(ports);
    const options = { mrg_rxbuf, queue_size: 1024 };
    const pmd = startTestpmd(ports.map(({ path }, index) => ({ mac: macs[index]!, path, server, options })));
    await pmd.ready();
    await bridge.waitForState(
      "running",
      ports.map(({ name }) => name),
    );

    let bytes = 0;
    for (const size of frameSizes) {
      const before = sentFrames(await pmd.stats());
      await circulate(pmd, size, totalFrames / variants.length / frameSizes.length);
      bytes += (sentFrames(await pmd.stats()) - before) * size;
      progress(
        `testpmd server=${server} mrg_rxbuf=${mrg_rxbuf}: ${sentFrames(await pmd.stats())} frames, now ${size} B`,
      );
    }

    const stats = await pmd.stats();
    const status = await settled(bridge);
    const [first, second] = ports.map(({ name }) => status.ports.find((port) => port.name === name)!);
    expect(sentFrames(stats)).toBeGreaterThanOrEqual(totalFrames / variants.length);
    // The drivers' counters and the switch's agree frame by frame, on both sides and both ways …
    expect([first!.rxFrames, second!.rxFrames]).toEqual(stats.map(({ txPackets }) => txPackets));
    expect([first!.txFrames, second!.txFrames]).toEqual(stats.map(({ rxPackets }) => rxPackets));
    expect(first!.rxBytes + second!.rxBytes).toBe(bytes);
    // … and what came in went out, or its drop has a cause.
    const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
    const dropped = sum([first!, second!].flatMap(({ drops }) => Object.values(drops)));
    expect(sum(stats.map(({ rxPackets }) => rxPackets)) + dropped).toBe(sentFrames(stats));
    expect([first!.state, second!.state]).toEqual(["running", "running"]);

    await pmd.quit();
    await bridge.waitForState(
      "waiting",
      ports.map(({ name }) => name),
    );
    expect(await bridge.stop()).toBe("exited with status 0");
  });
});

const manyQueues = [
  { queues: 2, packed_vq: 0 },
  { queues: 3, packed_vq: 1 },
  { queues: 4, packed_vq: 0 },
  { queues: 4, packed_vq: 1 },
];
const framesOfManyQueues = 400_000;
const workers = 2;

describeNeeding(["switch", "testpmd"], "DPDK virtio-user with several queue pairs", () => {
  test.each(manyQueues)("F19, F35: each carries frames both ways, and their sums agree, %o", async (variant) => {
    const { queues, packed_vq } = variant;
    const ports = [0, 1].map((index) => socketPort(`mq${index}-${queues}-${packed_vq}`));
    const names = ports.map(({ name }) => name);
    const bridge = await startSwitch(ports, ["--workers", `${workers}`]);
    const options = { packed_vq, queue_size: 256 };
    const pmd = startTestpmd(
      ports.map(({ path }, index) => ({ mac: macs[index]!, path, options })),
      { queues },
    );
    await pmd.ready();
    await bridge.waitForState("running", names);
    for (const size of [64, 1518]) await circulate(pmd, size, framesOfManyQueues / 2);
    const stats = await pmd.stats();
    const { ports: counted } = await settled(bridge);
    expect(counted.map(({ rxFrames }) => rxFrames)).toEqual(stats.map(({ txPackets }) => txPackets));
    expect(counted.map(({ txFrames }) => txFrames)).toEqual(stats.map(({ rxPackets }) => rxPackets));
    for (const port of counted) {
      expect(port.queues.map(({ state }) => state)).toEqual(Array(2 * queues).fill("running"));
      // Workers that share an odd number of receiveqs may leave one, as the transmitqs fall to them.
      const idle = port.queues.filter(({ frames }) => frames === 0);
      expect(idle.length).toBeLessThanOrEqual(queues % workers);
      expect(idle.filter(({ kind }) => kind === "transmitq")).toEqual([]);
      expect(new Set(port.queues.flatMap(({ worker }) => worker ?? [])).size).toBe(workers);
      const sum = (kind: string, count: "frames" | "bytes") =>
        port.queues.reduce((total, queue) => total + (queue.kind === kind ? queue[count] : 0), 0);
      expect([sum("transmitq", "frames"), sum("receiveq", "frames")]).toEqual([port.rxFrames, port.txFrames]);
      expect([sum("transmitq", "bytes"), sum("receiveq", "bytes")]).toEqual([port.rxBytes, port.txBytes]);
    }
    const dropped = counted.flatMap(({ drops }) => Object.values(drops)).reduce((total, count) => total + count, 0);
    expect(stats.reduce((total, { rxPackets }) => total + rxPackets, 0) + dropped).toBe(sentFrames(stats));
    progress(`testpmd queues=${queues} packed_vq=${packed_vq}: ${sentFrames(stats)} frames, ${dropped} dropped`);
    await pmd.quit();
    await bridge.waitForState("waiting", names);
    expect(await bridge.stop()).toBe("exited with status 0");
  });
});

function sentFrames(stats: Awaited<ReturnType<Testpmd["stats"]>>): number {
  return stats.reduce((sum, { txPackets }) => sum + txPackets, 0);
}

/** Sends a few bursts of frames of this size (without FCS) in circles until so many more were sent; none is left over. */
async function circulate(pmd: Testpmd, size: number, frames: number): Promise<void> {
  const target = sentFrames(await pmd.stats()) + frames;
  await pmd.command(`set txpkts ${size}`);
  await pmd.command("set fwd io");
  await pmd.command("start tx_first 16");
  await waitFor(`${frames} frames of ${size} B`, 180_000, async () => sentFrames(await pmd.stats()) >= target, [
    pmd.process,
  ]);
  await pmd.command("stop");
  // What is still in the rings is taken out by a round of receiving only.
  await pmd.command("set fwd rxonly");
  await pmd.command("start");
  let last = "";
  await waitFor("the last frames to be received", 20_000, async () => {
    const now = JSON.stringify(await pmd.stats());
    const same = now === last;
    last = now;
    return same;
  });
  await pmd.command("stop");
}

/** The status once its counters no longer move: those of the core are read a moment after the frames. */
async function settled(bridge: RunningSwitch): Promise<SwitchStatus> {
  const counters = ({ ports }: SwitchStatus) =>
    JSON.stringify(ports.map(({ rxFrames, txFrames }) => [rxFrames, txFrames]));
  let last = await bridge.status();
  return await waitFor("the switch's counters to settle", 20_000, async () => {
    const now = await bridge.status();
    const same = counters(now) === counters(last);
    last = now;
    return same ? now : undefined;
  });
}
