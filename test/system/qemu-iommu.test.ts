// M51: Linux guests behind a virtual IOMMU, as Linux uses one: it maps each buffer when it gives it to the NIC and unmaps it
// when it has it back. In its default mode it forgets the translations of many buffers, and of the rings, at once.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { describeNeeding } from "./lib/needs.js";
import { progress } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { bulk, ping } from "./lib/traffic.js";

/** MiB of TCP each way: under emulation a guest that asks for the translation of each buffer moves about one in a second. */
const bulkMib = 4;

const MODES = [
  ["lazy, the default", "", []],
  ["strict", "iommu.strict=1", ["packed=on"]],
  ["passthrough", "iommu=pt", []],
] as const;

for (const [mode, words, device] of MODES) {
  const rings = device.length > 0 ? "packed" : "split";
  describeNeeding(["switch", "qemu-10"], `a guest behind a virtual IOMMU, ${mode}, ${rings} rings`, () => {
    const name = mode.slice(0, 4);
    const ports = [{ ...socketPort(`iommu-${name}`), options: "iommu=true" }, socketPort(`plain-${name}`)] as const;
    let bridge: RunningSwitch;
    let one: Guest;
    let two: Guest;

    beforeAll(async () => {
      bridge = await startSwitch(ports);
      const common = { qemu: "10", device } as const;
      one = await startGuest({ ...common, name: `iommu-${name}`, ...address(1), socket: ports[0].path, iommu: words });
      two = await startGuest({ ...common, name: `plain-${name}`, ...address(2), socket: ports[1].path });
      await Promise.all([one.booted(), two.booted()]);
      await bridge.waitForState("running", [ports[1].name]);
      progress(`${mode}: booted`);
    });
    afterAll(async () => {
      await one?.kill();
      await two?.kill();
      await bridge?.kill();
    });

    test("100 of 100 pings are answered, both ways", async () => {
      const a = await ping(one, two, 100);
      const b = await ping(two, one, 100);
      progress(
        `${mode}: ${a} and ${b} of 100 pings; drops ${JSON.stringify((await bridge.port(ports[0].name)).drops)}`,
      );
      expect([a, b]).toEqual([100, 100]);
    });

    test(`${bulkMib} MiB of TCP each way arrive unchanged`, async () => {
      for (const [from, to] of [
        [one, two],
        [two, one],
      ] as const) {
        const begun = performance.now();
        const { sent, received } = await bulk(from, to, bulkMib);
        expect(sent).toMatch(/^[0-9a-f]{64}$/);
        expect(received).toBe(sent);
        const seconds = (performance.now() - begun) / 1000;
        progress(`${mode}: ${bulkMib} MiB from ${from.name} in ${seconds.toFixed(1)} s`);
      }
      progress(`${mode}: drops ${JSON.stringify((await bridge.port(ports[0].name)).drops)}`);
    });
  });
}

function address(number: number): { mac: string; address: string } {
  return { mac: `52:54:00:00:00:0${number}`, address: `10.0.0.${number}/24` };
}
