// A guest whose memory is four times the switch's linear memory: what Linux puts at the end of it, the switch maps in
// chunks.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { describeNeeding } from "./lib/needs.js";
import { progress } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { bulk, ping } from "./lib/traffic.js";

/** The memory is sparse: the guest's kernel touches a few hundred MiB of it. */
const BIG_MIB = 16 * 1024;
const BULK_MIB = 16;
const BOOT_MS = 300_000;

describeNeeding(["switch", "qemu-7.2"], `a guest of ${BIG_MIB / 1024} GiB`, () => {
  const [bigPort, smallPort] = [socketPort("big"), socketPort("small")];
  let bridge: RunningSwitch;
  let big: Guest;
  let small: Guest;

  beforeAll(async () => {
    bridge = await startSwitch([bigPort, smallPort]);
    const common = { qemu: "7.2" } as const;
    big = await startGuest({
      ...common,
      ...{ name: "big", mac: "52:54:00:00:00:01", address: "10.0.0.1/24" },
      ...{ socket: bigPort.path, memoryMb: BIG_MIB },
    });
    small = await startGuest({
      ...common,
      ...{ name: "small", mac: "52:54:00:00:00:02", address: "10.0.0.2/24", socket: smallPort.path },
    });
    await Promise.all([big.booted(BOOT_MS), small.booted(BOOT_MS)]);
    await bridge.waitForState("running", [bigPort.name, smallPort.name]);
    progress("the big guest has booted");
  }, BOOT_MS + 60_000);
  afterAll(async () => {
    await big?.kill();
    await small?.kill();
    await bridge?.kill();
  });

  test("its memory above 4 GiB is mapped in chunks", async () => {
    const { memory, regions } = await bridge.port(bigPort.name);
    expect(memory.wholeBytes + memory.chunkedBytes).toBeGreaterThanOrEqual(0.99 * BIG_MIB * 2 ** 20);
    expect(memory.chunkedBytes).toBeGreaterThanOrEqual(12 * 2 ** 30);
    expect(regions.filter(({ window }) => window === undefined)).toHaveLength(1);
  });

  test("100 of 100 pings are answered, both ways", async () => {
    expect(await ping(big, small, 100)).toBe(100);
    expect(await ping(small, big, 100)).toBe(100);
  });

  test(`${BULK_MIB} MiB of TCP each way arrive unchanged`, async () => {
    for (const [from, to] of [
      [big, small],
      [small, big],
    ] as const) {
      const { sent, received } = await bulk(from, to, BULK_MIB);
      expect(sent).toMatch(/^[0-9a-f]{64}$/);
      expect(received).toBe(sent);
    }
    const { drops, regions, lastError } = await bridge.port(bigPort.name);
    expect([drops.window, lastError]).toEqual([undefined, undefined]);
    // Its buffers do lie there.
    const [chunked] = regions.filter(({ window }) => window === undefined);
    expect(chunked!.mappedBytes).toBeGreaterThan(0);
    progress(`the big guest: ${chunked!.mappedBytes / 2 ** 20} MiB of it are mapped`);
  });
});
