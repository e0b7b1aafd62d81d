// Every way in which DPDK's virtio driver drives a ring, by the name it gives it: a mix of frames from a capture file
// comes out of the other port byte for byte and in order, also after both ports were stopped and started again.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { describeNeeding } from "./lib/needs.js";
import { readPcap, writePcap } from "./lib/pcap.js";
import { progress, scratch, waitFor } from "./lib/process.js";
import { socketPort, startSwitch } from "./lib/switch.js";
import { startTestpmd, type Testpmd } from "./lib/testpmd.js";

interface Path {
  what: string;
  options: Record<string, number>;
  /** What the driver calls the paths it takes. */
  rx: string;
  tx: string;
}

const packed = { packed_vq: 1 };
const paths: Path[] = [
  { what: "split, mergeable", options: { in_order: 0 }, rx: "mergeable buffer", tx: "standard" },
  { what: "split, plain", options: { in_order: 0, mrg_rxbuf: 0 }, rx: "standard", tx: "standard" },
  { what: "split, in order, mergeable", options: {}, rx: "inorder", tx: "inorder" },
  { what: "split, in order", options: { mrg_rxbuf: 0 }, rx: "inorder", tx: "inorder" },
  {
    what: "split, vectorized",
    options: { in_order: 0, mrg_rxbuf: 0, vectorized: 1 },
    ...{ rx: "vectorized", tx: "standard" },
  },
  {
    what: "packed, mergeable",
    options: { ...packed, in_order: 0 },
    ...{ rx: "packed ring mergeable buffer", tx: "packed ring standard" },
  },
  {
    what: "packed, plain",
    options: { ...packed, in_order: 0, mrg_rxbuf: 0 },
    ...{ rx: "packed ring standard", tx: "packed ring standard" },
  },
  {
    what: "packed, in order, mergeable",
    options: packed,
    ...{ rx: "packed ring mergeable buffer", tx: "packed ring standard" },
  },
  {
    what: "packed, in order",
    options: { ...packed, mrg_rxbuf: 0 },
    ...{ rx: "packed ring standard", tx: "packed ring standard" },
  },
  {
    what: "packed, vectorized",
    options: { ...packed, mrg_rxbuf: 0, vectorized: 1 },
    ...{ rx: "packed ring vectorized", tx: "packed ring vectorized" },
  },
  {
    what: "packed, mergeable, a size that is no power of two",
    options: { ...packed, in_order: 0, queue_size: 1001 },
    ...{ rx: "packed ring mergeable buffer", tx: "packed ring standard" },
  },
  {
    what: "packed, vectorized, a size that is no power of two",
    options: { ...packed, mrg_rxbuf: 0, vectorized: 1, queue_size: 1001 },
    ...{ rx: "packed ring vectorized", tx: "packed ring vectorized" },
  },
];
// What DPDK's own test of two virtio-user ports sends: small frames in bursts, then chains of several buffers.
const mix = [...Array<number>(27 + 7 * 32).fill(64), ...Array<number>(5).fill(8000), ...Array<number>(32).fill(2000)];
const macs = ["52:54:00:00:0b:01", "52:54:00:00:0b:02"] as const;
// The ports of testpmd, which forwards 0 to 1 and 2 to 3.
const [left, right, fileOut] = [1, 2, 3] as const;
/** The largest frame that fits into one of testpmd's buffers. */
const bufferBytes = 2048;
const hasAvx512 = readFileSync("/proc/cpuinfo", "utf8").includes(" avx512f ");

describeNeeding(["switch", "testpmd"], "DPDK virtio-user, every path of its driver", () => {
  const input = join(scratch, "in.pcap");
  const frames = mix.map((length, index) => frame(index, length));
  writePcap(input, frames);

  describe.each(paths.map((path, index) => [path.what, path, index] as const))("%s", (what, path, index) => {
    const { options, rx, tx } = path;
    const impossible = what.startsWith("packed, vectorized") && !hasAvx512;
    test.skipIf(impossible)("F18, F23: 288 frames arrive as they were sent, and go on after a restart", async () => {
      const output = join(scratch, `${what.replaceAll(/\W+/g, "-")}.pcap`);
      const ports = ["left", "right"].map((name) => socketPort(`${name}${index}`));
      const names = ports.map(({ name }) => name);
      const bridge = await startSwitch(ports);
      const pmd = startTestpmd(
        ports.map(({ path }, side) => ({ mac: macs[side]!, path, options: { queue_size: 1024, ...options } })),
        {
          before: [`net_pcap0,rx_pcap=${input}`],
          after: [`net_pcap1,tx_pcap=${output}`],
          // Without this DPDK takes no vector path for packed rings.
          environment: ["--force-max-simd-bitwidth=512"],
        },
      );
      await pmd.ready();
      await bridge.waitForState("running", names);
      for (const name of names) {
        const { features, queues } = await bridge.port(name);
        expect(features.includes("VIRTIO_F_RING_PACKED")).toBe(options.packed_vq === 1);
        expect(queues.map(({ size }) => size)).toEqual(Array(2).fill(options.queue_size ?? 1024));
      }
      for (const port of [left, right]) {
        expect(pmd.process.output()).toContain(`using ${rx} Rx path on port ${port}`);
        expect(pmd.process.output()).toContain(`using ${tx} Tx path on port ${port}`);
      }

      const expected = options.mrg_rxbuf === 0 ? frames.filter(({ length }) => length < bufferBytes) : frames;
      await pmd.command("set fwd io");
      await pmd.command("start");
      await waitFor(
        `${expected.length} frames in the capture`,
        20_000,
        async () => (await pmd.stats())[fileOut]!.txPackets >= expected.length,
        [pmd.process, bridge.process],
      );
      await pmd.command("stop");

      await restart(pmd);
      await bridge.waitForState("running", names);
      // One frame, then many: the rings go round several times.
      expect(await exchange(pmd, "start tx_first", 1)).toBeGreaterThan(0);
      expect(await exchange(pmd, "start tx_first 8", 100_000)).toBeGreaterThanOrEqual(100_000);
      const status = await bridge.status();
      expect(status.ports.flatMap(({ queues }) => queues.filter(({ state }) => state === "broken"))).toEqual([]);
      await pmd.quit();

      const arrived = readPcap(output);
      expect(arrived.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
      expect(hashes(arrived)).toEqual(hashes(expected));
      // What is too long for the receiver's buffers is counted there.
      const dropped = frames.length - expected.length;
      expect((await bridge.port(names[1]!)).drops).toEqual(dropped > 0 ? { "rx-buffer-too-small": dropped } : {});
      expect(await bridge.stop()).toBe("exited with status 0");
      progress(`testpmd: ${what}`);
    });
  });
});

/** A frame whose bytes tell its number, from the left port to the right one. */
function frame(index: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (const [at, mac] of [macs[1], macs[0]].entries()) Buffer.from(mac.replaceAll(":", ""), "hex").copy(bytes, 6 * at);
  // An EtherType for experiments (IEEE 802): no peer looks into it.
  bytes.writeUInt16BE(0x88b5, 12);
  for (let at = 14; at < length; at++) bytes[at] = (index * 31 + at * 7 + (at >> 8)) & 0xff;
  return bytes;
}

function hashes(frames: readonly Buffer[]): string[] {
  return frames.map((bytes) => createHash("sha256").update(bytes).digest("hex"));
}

/** Stops and starts both virtio-user ports; while they are stopped nothing moves. */
async function restart(pmd: Testpmd): Promise<void> {
  for (const port of [left, right]) await pmd.command(`port stop ${port}`);
  for (const port of [left, right]) await pmd.command(`port start ${port}`);
  await pmd.command(`set portlist ${left},${right}`);
}

/** Sends first frames and lets them go round until the right port got `frames` more; how many it got. */
async function exchange(pmd: Testpmd, start: string, frames: number): Promise<number> {
  const received = async () => (await pmd.stats())[right]!.rxPackets;
  const before = await received();
  await pmd.command(start);
  await waitFor(`${frames} frames after the restart`, 60_000, async () => (await received()) >= before + frames, [
    pmd.process,
  ]);
  await pmd.command("stop");
  return (await received()) - before;
}
