// A switch with nothing to do costs nothing: it sleeps on the kick eventfds instead of polling.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { anyQemu, describeNeeding } from "./lib/needs.js";
import { progress } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { knowAddress, ping } from "./lib/traffic.js";

const watchedSeconds = 10;
/**
 * Eight seconds after the last work that made garbage V8 collects once more, to give memory back: 0.1 s of CPU time over its
 * five threads (--trace-gc calls it "Mark-Compact (reduce)"; with --no-memory-reducer it does not come). That is work of the
 * start, not of an idle switch.
 */
const settlingSeconds = 15;

describeNeeding(["switch", "qemu"], "two idle guests", () => {
  const ports = [1, 2].map((number) => socketPort(`vm${number}`));
  let bridge: RunningSwitch;
  let guests: Guest[];

  beforeAll(async () => {
    bridge = await startSwitch(ports);
    guests = await Promise.all(
      ports.map(({ name, path }, index) =>
        startGuest({
          qemu: anyQemu,
          name,
          mac: `52:54:00:00:04:0${index + 1}`,
          address: `10.0.4.${index + 1}/24`,
          socket: path,
        }),
      ),
    );
    await Promise.all(guests.map((guest) => guest.booted()));
    await knowAddress(guests[0]!, guests[1]!.ip, guests[1]!.mac);
    await knowAddress(guests[1]!, guests[0]!.ip, guests[0]!.mac);
    expect(await ping(guests[0]!, guests[1]!, 20)).toBe(20);
  });
  afterAll(async () => {
    for (const guest of guests ?? []) await guest.kill();
    await bridge?.kill();
  });

  test("use less than 1 % of a core of the switch", async () => {
    await sleep(settlingSeconds * 1000);
    const before = bridge.cpuNanoseconds();
    await sleep(watchedSeconds * 1000);
    const percent = (Number(bridge.cpuNanoseconds() - before) / (watchedSeconds * 1e9)) * 100;
    progress(`idle: ${percent.toFixed(3)} % of a core`);
    expect(percent).toBeLessThan(1);
  });

  test("are woken by a single ping", async () => {
    const { workers } = await bridge.status();
    expect(workers.map(({ state }) => state)).toEqual(workers.map(() => "parked"));
    expect(await ping(guests[0]!, guests[1]!, 1)).toBe(1);
  });
});
