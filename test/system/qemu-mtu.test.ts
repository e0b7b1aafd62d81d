// NICs with an MTU of their own (host_mtu): the guest's driver takes it over and goes no further, and packets of that
// size pass in one frame.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { describeNeeding } from "./lib/needs.js";
import { plugNic } from "./lib/nic.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { bulk, knowAddress, ping } from "./lib/traffic.js";

/** Bytes of an IPv4 and an ICMP header, and of an Ethernet header. */
const echoHeaderBytes = 28;
const ethernetBytes = 14;

describeNeeding(["switch", "qemu-10"], "F26: NICs with host_mtu", () => {
  const ports = ["mtu1", "mtu2"].map((name) => socketPort(name));
  let bridge: RunningSwitch;
  let guests: Guest[];

  beforeAll(async () => {
    bridge = await startSwitch(ports);
    guests = await Promise.all(
      [1, 2].map((number) =>
        startGuest({
          ...{ qemu: "10", machine: "pc", name: `mtu${number}` },
          ...{ mac: `52:54:00:00:0f:0${number}`, address: `10.0.15.${number}/24` },
        }),
      ),
    );
    await Promise.all(guests.map((guest) => guest.booted()));
  });
  afterAll(async () => {
    for (const guest of guests ?? []) await guest.kill();
    await bridge?.kill();
  });

  test.each([
    [68, []],
    [1280, []],
    [9000, []],
    [9000, ["mrg_rxbuf=off"]],
    [9000, ["packed=on"]],
    [65_535, []],
  ] as const)("host_mtu=%i %o", async (mtu, more) => {
    const nics = await Promise.all(
      guests.map((guest, index) =>
        plugNic(guest, bridge, { port: ports[index]!, device: [`host_mtu=${mtu}`, ...more] }),
      ),
    );
    const [one, two] = guests as [Guest, Guest];
    for (const [index, guest] of guests.entries()) {
      const { name } = nics[index]!;
      expect(Number(await guest.must(`cat /sys/class/net/${name}/mtu`))).toBe(mtu);
      expect((await guest.run(`ip link set ${name} mtu ${mtu + 1}`)).status).not.toBe(0);
      expect((await bridge.port(ports[index]!.name)).mtu).toBe(mtu);
    }
    await knowAddress(one, two.ip, two.mac);
    await knowAddress(two, one.ip, one.mac);
    const before = await bridge.port(ports[0]!.name);
    expect(await ping(one, two, 10, 0.05, mtu - echoHeaderBytes)).toBe(10);
    const after = await bridge.port(ports[0]!.name);
    expect(after.rxFrames - before.rxFrames).toBe(10);
    expect(after.rxBytes - before.rxBytes).toBe(10 * (mtu + ethernetBytes));
    // In segments of 28 bytes a stream would take minutes.
    const streams =
      mtu < 576
        ? []
        : ([
            [one, two],
            [two, one],
          ] as const);
    for (const [from, to] of streams) {
      const { sent, received } = await bulk(from, to, 4);
      expect(sent).toMatch(/^[0-9a-f]{64}$/);
      expect(received).toBe(sent);
    }
    for (const nic of nics) await nic.unplug();
  });
});
