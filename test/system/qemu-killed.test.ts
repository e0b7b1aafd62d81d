// A front-end that dies: QEMU gets SIGKILL while frames flow to its guest. Nobody else may notice.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { anyQemu, describeNeeding } from "./lib/needs.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { endlessStream, ping, pingJob, repliesIn } from "./lib/traffic.js";

describeNeeding(["switch", "qemu"], "QEMU killed in the middle of a stream", () => {
  const ports = [1, 2, 3].map((number) => socketPort(`vm${number}`));
  let bridge: RunningSwitch;
  let guests: Guest[];

  const guest = (number: number, name = `vm${number}`): Promise<Guest> =>
    startGuest({
      qemu: anyQemu,
      name,
      mac: `52:54:00:00:01:0${number}`,
      address: `10.0.1.${number}/24`,
      socket: ports[number - 1]!.path,
    });

  beforeAll(async () => {
    bridge = await startSwitch(ports);
    guests = await Promise.all([1, 2, 3].map((number) => guest(number)));
    await Promise.all(guests.map((each) => each.booted()));
  });
  afterAll(async () => {
    for (const each of guests ?? []) await each.kill();
    await bridge?.kill();
  });

  test("leaves the other ports and the switch untouched", async () => {
    const [sender, victim, bystander] = guests as [Guest, Guest, Guest];
    const pings = await pingJob(bystander, sender, 150, 0.1);
    const stream = await endlessStream(sender, victim);
    await bridge.waitForFramesTo("vm2", 2000);
    const before = await bridge.status();
    await victim.kill();
    await bridge.waitForState("waiting", ["vm2"]);

    expect(repliesIn((await pings.result(60_000)).output)).toBe(150);
    await stream.sender.stop();
    expect(bridge.process.ended).toBeUndefined();
    const after = await bridge.status();
    expect(after.pid).toBe(before.pid);
    for (const name of ["vm1", "vm3"]) {
      const port = after.ports.find((each) => each.name === name)!;
      expect([name, port.state, port.connections]).toEqual([name, "running", 1]);
    }
    // What the dead guest had mapped is given back.
    expect(after.ports.find(({ name }) => name === "vm2")!.regions).toEqual([]);
  });

  test("leaves a port that takes the next guest", async () => {
    const again = await guest(2, "vm2-again");
    guests.push(again);
    await again.booted();
    expect(await ping(again, guests[0]!, 20)).toBe(20);
    expect(await ping(guests[2]!, again, 20)).toBe(20);
    expect((await bridge.port("vm2")).connections).toBe(2);
  });
});
