// A switch that dies: SIGKILL, then a new process on the same sockets. Both ways to own the socket: QEMU as server (as
// OpenStack and OVS run it, so that the switch can be updated under running guests), and the switch as server.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { anyQemu, describeNeeding } from "./lib/needs.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { ping, Pings, pingUntilAnswered } from "./lib/traffic.js";

for (const [role, title] of [
  ["connect", "QEMU as socket server"],
  ["listen", "the switch as socket server"],
] as const) {
  describeNeeding(["switch", "qemu"], title, () => {
    const ports = [1, 2].map((number) => socketPort(`${role}${number}`, role));
    const guests: Guest[] = [];
    let bridge: RunningSwitch | undefined;

    const startGuests = async (): Promise<void> => {
      for (const [index, { name, path }] of ports.entries()) {
        const [mac, address] = [`52:54:00:00:02:0${index}`, `10.0.2.${index + 1}/24`];
        const server = role === "connect";
        guests.push(await startGuest({ qemu: anyQemu, name, mac, address, socket: path, server }));
      }
    };

    afterAll(async () => {
      for (const guest of guests) await guest.kill();
      await bridge?.kill();
    });

    test(`traffic flows when the ${role === "connect" ? "guests" : "switch"} came first`, async () => {
      if (role === "connect") {
        await startGuests();
        // Long enough for both QEMUs to wait at their sockets, and for this to be the later start.
        await sleep(2000);
        bridge = await startSwitch(ports);
      } else {
        bridge = await startSwitch(ports);
        await startGuests();
      }
      await Promise.all(guests.map((guest) => guest.booted()));
      expect(await ping(guests[0]!, guests[1]!, 20)).toBe(20);
    });

    test("F5, F21: traffic resumes by itself after SIGKILL and a new start", async () => {
      const [one, two] = guests as [Guest, Guest];
      const before = bridge!.pid;
      const pings = await Pings.start(one, two, 0.05);
      await bridge!.waitForFramesTo(ports[1]!.name, 20);
      await bridge!.kill();
      expect(await ping(two, one, 3)).toBe(0);

      bridge = await startSwitch(ports);
      expect(bridge.pid).not.toBe(before);
      await pingUntilAnswered(two, one);
      expect(await ping(two, one, 20)).toBe(20);
      // The pings that ran all the time: some answered before, and some lost.
      const { sent, lost } = await pings.end();
      expect(sent - lost).toBeGreaterThan(20);
      expect(lost).toBeGreaterThan(0);
      const queues = (await bridge.status()).ports.flatMap((port) => port.queues);
      expect(queues.filter(({ state }) => state === "broken")).toEqual([]);
    });
  });
}
