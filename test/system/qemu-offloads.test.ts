// Long frames and unfinished checksums between real guests: they pass whole to a guest that takes them, and reach a
// plain one as frames of its MTU with every checksum right, over IPv4 and IPv6.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { capture } from "./lib/capture.js";
import { type Guest, startGuest } from "./lib/guest.js";
import { describeNeeding } from "./lib/needs.js";
import { type Nic, plugNic } from "./lib/nic.js";
import { progress } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";

/** Without its offloads a driver takes and sends finished frames of its MTU only. */
const noOffloads = ["csum", "guest_csum", "gso", "host_tso4", "host_tso6", "host_ecn", "host_ufo"]
  .concat("guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo")
  .map((property) => `${property}=off`);
const plainFrameBytes = 1514;

describeNeeding(["switch", "qemu-10", "guest-tools", "tshark"], "F24, F33: offloads between guests", () => {
  const ports = ["from", "to"].map((name) => socketPort(name));
  const [fromPort, toPort] = ports as [(typeof ports)[0], (typeof ports)[0]];
  let bridge: RunningSwitch;
  let from: Guest;
  let to: Guest;
  const families = [
    { family: "IPv4", filter: "tcp", address: () => to.ip, checksums: 2 },
    // No checksum in IPv6's own header.
    { family: "IPv6", filter: "ip6 and tcp", address: () => "fd00::2", checksums: 1 },
  ];

  /** A NIC with addresses of both families. */
  const plug = async (guest: Guest, number: number, device: string[]): Promise<Nic> => {
    const nic = await plugNic(guest, bridge, { port: ports[number - 1]!, device });
    await guest.must(`ip -6 address add fd00::${number}/64 dev ${nic.name}`);
    return nic;
  };
  /** TCP from the one guest to the other; how fast, in iperf3's words. */
  const iperf = async (address: string, mib: number): Promise<string> => {
    const server = await to.job("iperf3 -s -1");
    await to.must("until grep -hq ':1451 0*:0000 0A' /proc/net/tcp /proc/net/tcp6; do usleep 50000; done");
    const said = await from.must(`iperf3 -c ${address} -n ${mib}M`, 120_000);
    await server.result(30_000);
    return /([\d.]+ \wbits\/sec) +receiver/.exec(said)?.[1] ?? said;
  };
  const cut = async () =>
    (await bridge.port(toPort.name)).queues.reduce((sum, queue) => sum + (queue.softwareOffloads?.segmented ?? 0), 0);

  beforeAll(async () => {
    bridge = await startSwitch(ports);
    const guest = (name: string, number: number) =>
      startGuest({
        ...{ qemu: "10", machine: "pc", name, programs: ["ethtool", "tcpdump", "iperf3"], ipv6: true },
        ...{ mac: `52:54:00:00:0d:0${number}`, address: `10.0.13.${number}/24` },
      });
    [from, to] = [await guest("from", 1), await guest("to", 2)];
    await Promise.all([from.booted(), to.booted()]);
    await plug(from, 1, []);
    await bridge.waitForState("running", [fromPort.name]);
  });
  afterAll(async () => {
    await from?.kill();
    await to?.kill();
    await bridge?.kill();
  });

  describe("to a guest without offloads", () => {
    let nic: Nic;
    beforeAll(async () => {
      nic = await plug(to, 2, noOffloads);
    });
    afterAll(() => nic?.unplug());

    test.each(families)("long frames are cut, every checksum is right, $family", async (each) => {
      const { filter, address, checksums } = each;
      const before = await cut();
      let rate = "";
      const count = 600;
      const frames = await capture(to, nic.name, { filter, count }, async () => {
        rate = await iperf(address(), 8);
      });
      expect(await cut()).toBeGreaterThan(before);
      expect(frames.lengths.length).toBe(count);
      expect(Math.max(...frames.lengths)).toBe(plainFrameBytes);
      expect({ good: frames.good, bad: frames.bad }).toEqual({ good: checksums * count, bad: 0 });
      progress(`TCP to a guest without offloads, ${each.family}: ${rate}`);
    });
  });

  describe("to a guest with offloads", () => {
    let nic: Nic;
    beforeAll(async () => {
      nic = await plug(to, 2, []);
    });
    afterAll(() => nic?.unplug());

    test.each(families)("frames of 64 KiB pass whole, $family", async (each) => {
      const { filter, address } = each;
      const before = await cut();
      let rate = "";
      const frames = await capture(to, nic.name, { filter, count: 400, bytes: 96 }, async () => {
        rate = await iperf(address(), 32);
      });
      expect(await cut()).toBe(before);
      // 44 or 45 segments of TCP are what fits into an IP datagram.
      expect(Math.max(...frames.lengths)).toBeGreaterThan(60_000);
      progress(`TCP to a guest with offloads, ${each.family}: ${rate}, longest frame ${Math.max(...frames.lengths)} B`);
    });
  });
});
