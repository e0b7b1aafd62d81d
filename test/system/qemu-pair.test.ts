// Two guests on one switch, with the QEMU of Debian 12 and with a modern one: what every user does first.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { describeNeeding } from "./lib/needs.js";
import { progress } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { bulk, endlessStream, ping, pingUntilAnswered } from "./lib/traffic.js";

/** MiB of TCP each way, a multiple of 4; emulated guests need about a minute for the default. */
const bulkMib = Number(process.env.RINGBRIDGE_BULK_MIB ?? 256);

for (const [qemu, title] of [
  ["7.2", "two guests, QEMU 7.2 without MSI-X"],
  ["10", "two guests, QEMU 10 with MSI-X"],
] as const) {
  describeNeeding(["switch", `qemu-${qemu}`], title, () => {
    const [port1, port2] = [socketPort(`one-${qemu}`), socketPort(`two-${qemu}`)];
    let bridge: RunningSwitch;
    let one: Guest;
    let two: Guest;

    beforeAll(async () => {
      bridge = await startSwitch([port1, port2]);
      one = await startGuest({ qemu, name: `one-${qemu}`, ...address(1), socket: port1.path });
      two = await startGuest({ qemu, name: `two-${qemu}`, ...address(2), socket: port2.path });
      await Promise.all([one.booted(), two.booted()]);
      await bridge.waitForState("running", [port1.name, port2.name]);
      progress(`${title}: booted`);
    });
    afterAll(async () => {
      await one?.kill();
      await two?.kill();
      await bridge?.kill();
    });

    test("100 of 100 pings are answered, both ways", async () => {
      expect(await ping(one, two, 100)).toBe(100);
      expect(await ping(two, one, 100)).toBe(100);
    });

    test(`${bulkMib} MiB of TCP each way arrive unchanged`, async () => {
      for (const [from, to] of [
        [one, two],
        [two, one],
      ] as const) {
        const { sent, received } = await bulk(from, to, bulkMib);
        expect(sent).toMatch(/^[0-9a-f]{64}$/);
        expect(received).toBe(sent);
        progress(`${title}: ${bulkMib} MiB from ${from.name} to ${to.name}`);
      }
    });

    test.each(["receiver", "sender"])("M38: a %s that reboots in the middle of a stream comes back", async (which) => {
      const [rebooted, other] = which === "receiver" ? [two, one] : [one, two];
      const stream = await endlessStream(one, two);
      await bridge.waitForFramesTo(port2.name, 2000);
      await rebooted.reboot();
      await (which === "receiver" ? stream.sender : stream.receiver).stop();
      await pingUntilAnswered(other, rebooted);
      expect(await ping(rebooted, other, 20)).toBe(20);
      const { connections, queues } = await bridge.port(which === "receiver" ? port2.name : port1.name);
      // A reboot of the guest is no reconnect of its front-end.
      expect(connections).toBe(1);
      expect(queues.filter(({ state }) => state === "broken")).toEqual([]);
      progress(`${title}: ${which} rebooted`);
    });

    test("the switch ends on SIGTERM, and cleanly", async () => {
      expect(await bridge.stop()).toBe("exited with status 0");
    });
  });
}

function address(number: number): { mac: string; address: string } {
  return { mac: `52:54:00:00:00:0${number}`, address: `10.0.0.${number}/24` };
}
