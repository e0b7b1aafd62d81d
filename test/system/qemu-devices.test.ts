// Guests whose NICs differ: what one driver negotiates must not show at the other. The plain guest stays up, the other
// one comes with one property of its virtio-net device changed after the other.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { anyQemu, describeNeeding } from "./lib/needs.js";
import { progress } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { bulk, ping } from "./lib/traffic.js";

const variants: { what: string; device: string[]; headerBytes: number }[] = [
  { what: "no merged receive buffers", device: ["mrg_rxbuf=off"], headerBytes: 12 },
  { what: "no indirect descriptors, no event index", device: ["indirect_desc=off", "event_idx=off"], headerBytes: 12 },
  // virtio 0.9.5, whose header has no num_buffers unless buffers are merged.
  { what: "a legacy device", device: ["disable-modern=on", "disable-legacy=off"], headerBytes: 12 },
  {
    what: "a legacy device without merged buffers",
    device: ["disable-modern=on", "disable-legacy=off", "mrg_rxbuf=off"],
    headerBytes: 10,
  },
];

describeNeeding(["switch", "qemu"], "guests with different devices", () => {
  const [plainPort, otherPort] = [socketPort("plain"), socketPort("other")];
  let bridge: RunningSwitch;
  let plain: Guest;
  let other: Guest | undefined;

  beforeAll(async () => {
    bridge = await startSwitch([plainPort, otherPort]);
    plain = await startGuest({
      ...{ qemu: anyQemu, name: "plain", socket: plainPort.path },
      ...{ mac: "52:54:00:00:06:01", address: "10.0.6.1/24" },
    });
    await plain.booted();
  });
  afterAll(async () => {
    await other?.kill();
    await plain?.kill();
    await bridge?.kill();
  });

  test.each(variants.map((variant) => [variant.what, variant] as const))(
    "F31: %s",
    async (what, { device, headerBytes }) => {
      await other?.kill();
      await bridge.waitForState("waiting", [otherPort.name]);
      other = await startGuest({
        ...{ qemu: anyQemu, name: "other", socket: otherPort.path, device },
        ...{ mac: "52:54:00:00:06:02", address: "10.0.6.2/24" },
      });
      await other.booted();
      await bridge.waitForState("running", [otherPort.name]);
      expect((await bridge.port(otherPort.name)).headerBytes).toBe(headerBytes);
      expect(await ping(plain, other, 20)).toBe(20);
      for (const [from, to] of [
        [plain, other],
        [other, plain],
      ] as const) {
        const { sent, received } = await bulk(from, to, 16);
        expect(sent).toMatch(/^[0-9a-f]{64}$/);
        expect(received).toBe(sent);
      }
      progress(`device variant: ${what}`);
    },
  );
});
