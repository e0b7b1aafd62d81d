// An agent keeps the switch's ports: a folder with Neutron's ports is all that it is told. Two instances in mode server;
// admin_state_up, and what a restart of the agent and of the switch does (update_instance_port_admin_state in Tempest).
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeNeeding } from "../lib/needs.js";
import { ping, pingJob, pingUntilAnswered, repliesIn } from "../lib/traffic.js";
import { bind, Host, type Instance } from "./cloud.js";
import { record } from "./report.js";

describeNeeding(["switch", "libvirt", "qemu"], "agent: the switch follows a folder of Neutron's ports", () => {
  const [one, two] = [bind("one", "server"), bind("two", "server")];
  const ports = [one, two];
  let host: Host;
  let a: Instance;
  let b: Instance;

  const connections = async () => (await host.bridge.status()).ports.map((port) => port.connections);

  beforeAll(async () => {
    host = await Host.start();
    host.startAgent();
  });
  afterAll(async () => host?.stop());

  test("ports whose guests drive their rings are reported as wired", async () => {
    for (const port of ports) host.tellAgent(port);
    a = await host.instance("one", [one]);
    b = await host.instance("two", [two]);
    for (const instance of [a, b]) await instance.booted();
    expect(await ping(a, b, 10)).toBe(10);
    await host.waitForAgent("wired", ports);
  });

  test("admin_state_up false stops the traffic and not the session; true lets it go on", async (context) => {
    host.tellAgent(two, { admin_state_up: false });
    await host.waitForAgent("down", [two]);
    expect(await ping(a, b, 5)).toBe(0);
    const down = await host.bridge.port(two.vifName);
    expect(down).toMatchObject({ state: "running", connections: 1, adminStateUp: false });
    expect((await b.must("cat /sys/class/net/eth0/operstate")).trim()).not.toBe("down");
    host.tellAgent(two);
    await host.waitForAgent("wired", [two]);
    expect(await ping(a, b, 10)).toBe(10);
    expect(await connections()).toEqual([1, 1]);
    record(context, "admin_state_up false", "0 of 5 pings answered, session stays; true: 10 of 10");
  });

  test("the agent is killed and started again: nobody notices", async (context) => {
    const flow = await pingJob(a, b, 100, 0.1);
    await host.killAgent();
    host.startAgent();
    await host.waitForAgent("wired", ports);
    const replies = repliesIn((await flow.result(60_000)).output);
    expect(replies).toBe(100);
    expect(await connections()).toEqual([1, 1]);
    record(context, "agent restarts", `${replies} of 100 pings answered, no session was renewed`);
  });

  test("the switch is killed and started again without ports: the agent gives it all of them", async (context) => {
    await host.killSwitch();
    const begin = performance.now();
    await host.startSwitch();
    await pingUntilAnswered(a, b);
    record(
      context,
      "switch restarts, ports from the agent",
      `first ping answered after ${Math.round(performance.now() - begin)} ms`,
    );
    expect(await ping(b, a, 10)).toBe(10);
    await host.waitForAgent("wired", ports);
  });
});
