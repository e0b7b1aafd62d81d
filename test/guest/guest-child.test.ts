// Guests as processes of their own: told what to do, heard of when something goes wrong, gone in the end.

import { existsSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type CountersReport, GuestChild } from "../../src/guest/guest-child.js";
import { LOAD_FEATURES } from "../../src/guest/load-guest.js";
import { guestMac } from "../../src/guest/traffic.js";
import { describeLinux } from "../sys/linux.js";
import { SwitchFolder } from "./support/switch-process.js";

const MACS = [guestMac(1), guestMac(2)] as [string, string];
const FLOWS = [
  { from: MACS[0], to: MACS[1] },
  { from: MACS[1], to: MACS[0] },
];
/** Frames that a rate may make up for after a delay, and a burst. */
const CATCH_UP = 64 + 64;

let folder: SwitchFolder;
let guests: GuestChild[];

beforeEach(() => {
  folder = new SwitchFolder();
  guests = [];
});
afterEach(async () => {
  await Promise.all(guests.map((guest) => guest.end()));
  await folder.close();
});

async function start(number: 1 | 2, timeoutMs = 5000): Promise<GuestChild> {
  const name = `vm${number}`;
  const guest = await GuestChild.start(name, {
    path: folder.file(name),
    mac: MACS[number - 1]!,
    flows: FLOWS,
    features: String(LOAD_FEATURES),
    timeoutMs,
  });
  guests.push(guest);
  return guest;
}

/** CPU time of a process, in clock ticks (hundredths of a second). */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

describeLinux("guest processes", () => {
  test("send at a rate, pause, and end with a last report", async () => {
    await folder.start(["vm1=listen", "vm2=listen"]);
    const a = await start(1);
    const b = await start(2);
    expect(a.features & LOAD_FEATURES).toBe(LOAD_FEATURES);
    const from = await a.sample();
    expect(from.counters.sent.frames).toBe(0);
    a.run({ sizes: [64, 1518], rate: 4000 });
    await b.report(({ counters }) => counters.received.frames >= 1000);
    const now = await a.sample();
    const most = ((now.atMs - from.atMs) * 4000) / 1000 + CATCH_UP;
    expect(now.counters.sent.frames).toBeLessThanOrEqual(most);
    a.pause();
    const paused = await a.report(({ sending, counters }) => !sending && counters.pending === 0);
    const arrived = await b.report(({ counters }) => counters.received.frames === paused.counters.sent.frames);
    expect(arrived.counters.received).toMatchObject({ corrupt: 0, lost: 0, duplicates: 0, reordered: 0 });
    expect(arrived.counters.sent.frames).toBe(0);
    await a.end();
    expect(a.latest!.counters.sent.frames).toBe(paused.counters.sent.frames);
    expect(existsSync(`/proc/${a.pid}`)).toBe(false);
    expect((await folder.control.status()).ports.map(({ state }) => state)).toEqual(["waiting", "running"]);
  });

  test("with a window nothing is ever dropped, and a frame that is lost does not end the traffic", async () => {
    await folder.start(["vm1=listen", "vm2=listen"]);
    const a = await start(1);
    // Lost: nobody is there yet to receive them. The window is full then.
    a.run({ sizes: [64], window: 128 });
    await a.report(({ counters }) => counters.sent.frames >= 128 && counters.pending === 0);
    const b = await start(2);
    b.run({ sizes: [64], window: 128 });
    const many = ({ counters }: CountersReport) => counters.received.frames > 5000;
    await Promise.all([a.report(many), b.report(many)]);
    const { ports } = await folder.control.status();
    expect(ports.map(({ drops }) => drops["no-rx-buffer"] ?? 0)).toEqual([0, 0]);
  });

  test("an idle guest uses no CPU", async () => {
    await folder.start(["vm1=listen"]);
    const guest = await start(1);
    const before = cpuTicks(guest.pid);
    const from = await guest.report();
    const to = await guest.report(({ atMs }) => atMs - from.atMs > 1000);
    expect((cpuTicks(guest.pid) - before) * 10).toBeLessThan((to.atMs - from.atMs) / 2);
  });

  test("what fails is said in a sentence", async () => {
    await expect(start(1, 200)).rejects.toThrow(`vm1: no switch listens on ${folder.file("vm1")} (ENOENT`);
    const sw = await folder.start(["vm1=listen", "vm2=listen"]);
    const tooLong = await start(1);
    tooLong.run({ sizes: [9000] });
    await expect(tooLong.failed).rejects.toThrow(/^vm1: frames of 9000 bytes: this queue sends 32 to \d+$/);
    const killed = await start(2);
    process.kill(killed.pid, "SIGKILL");
    await expect(killed.failed).rejects.toThrow("vm2 ended unexpectedly (SIGKILL)");
    const left = await start(2);
    await sw.end("SIGKILL");
    await expect(left.failed).rejects.toThrow(`vm2: the switch closed the connection at ${folder.file("vm2")}`);
    await expect(left.sample()).rejects.toThrow("vm2: the switch closed");
  });
});
