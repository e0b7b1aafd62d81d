// A learning bridge as its guests see it: every count here is of frames that a guest's NIC received.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { anyQemu, describeNeeding } from "./lib/needs.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { knowAddress, ping, received } from "./lib/traffic.js";

const macOf = (number: number) => `52:54:00:00:03:0${number}`;

describeNeeding(["switch", "qemu"], "three guests", () => {
  const ports = [1, 2, 3].map((number) => socketPort(`vm${number}`));
  let bridge: RunningSwitch;
  let guests: Guest[];

  /** Frames and echo requests each guest received while `action` ran. */
  const counted = async (action: () => Promise<unknown>) => {
    const before = await Promise.all(guests.map(received));
    await action();
    const after = await Promise.all(guests.map(received));
    return after.map(({ frames, echoRequests }, index) => ({
      frames: frames - before[index]!.frames,
      echoRequests: echoRequests - before[index]!.echoRequests,
    }));
  };

  beforeAll(async () => {
    bridge = await startSwitch(ports);
    guests = await Promise.all(
      ports.map(({ name, path }, index) =>
        startGuest({
          qemu: anyQemu,
          name,
          mac: macOf(index + 1),
          address: `10.0.3.${index + 1}/24`,
          socket: path,
        }),
      ),
    );
    await Promise.all(guests.map((guest) => guest.booted()));
    // Every guest knows every other, so no ARP request is among the counted frames.
    for (const guest of guests) {
      for (const other of guests) if (other !== guest) await knowAddress(guest, other.ip, other.mac);
    }
    // And the switch has heard every guest.
    const [one, two, three] = guests as [Guest, Guest, Guest];
    expect(await ping(one, two, 1)).toBe(1);
    expect(await ping(two, three, 1)).toBe(1);
  });
  afterAll(async () => {
    for (const guest of guests ?? []) await guest.kill();
    await bridge?.kill();
  });

  test("a broadcast reaches both others exactly once, and never its sender", async () => {
    const counts = await counted(async () => {
      // Linux answers no broadcast ping, so ping itself ends with status 1.
      await guests[0]!.run("ping -q -c 30 -i 0.05 -W 1 10.0.3.255");
    });
    expect(counts).toEqual([
      // Linux hands its own broadcasts back to itself, without any NIC.
      { frames: 0, echoRequests: 30 },
      { frames: 30, echoRequests: 30 },
      { frames: 30, echoRequests: 30 },
    ]);
  });

  test("a frame to a known address reaches that guest only", async () => {
    const counts = await counted(async () => expect(await ping(guests[0]!, guests[1]!, 30)).toBe(30));
    expect(counts).toEqual([
      { frames: 30, echoRequests: 0 },
      { frames: 30, echoRequests: 30 },
      { frames: 0, echoRequests: 0 },
    ]);
  });

  test("a frame to an unknown address reaches both others", async () => {
    await knowAddress(guests[0]!, "10.0.3.50", "52:54:00:00:03:50");
    const counts = await counted(async () => {
      await guests[0]!.run("ping -q -c 10 -i 0.05 -W 1 10.0.3.50");
    });
    expect(counts.map(({ frames }) => frames)).toEqual([0, 10, 10]);
  });

  test("an address that moves to another port is learned there", async () => {
    const [one, two, three] = guests as [Guest, Guest, Guest];
    const moved = (await bridge.status()).fdb.moved;
    await two.must("ip link set eth0 address 52:54:00:00:03:0a");
    await three.must(`ip link set eth0 address ${macOf(2)}`);
    for (const guest of [one, two]) await knowAddress(guest, three.ip, macOf(2));
    // Until the third guest speaks, the switch cannot know.
    expect(await ping(three, one, 1)).toBe(1);
    const counts = await counted(async () => expect(await ping(one, three, 30)).toBe(30));
    expect(counts).toEqual([
      { frames: 30, echoRequests: 0 },
      { frames: 0, echoRequests: 0 },
      { frames: 30, echoRequests: 30 },
    ]);
    expect((await bridge.status()).fdb.moved).toBe(moved + 1);
  });
});
