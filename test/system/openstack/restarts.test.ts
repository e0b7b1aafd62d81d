// What a restart of each side does, measured: the table in docs/OPENSTACK.md is this file's report. Three instances: one
// in mode server, one in mode client as Nova writes it, and one in mode client with libvirt's <reconnect>, which Nova does
// not write.
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, test, type TestContext } from "vitest";
import { describeNeeding } from "../lib/needs.js";
import { waitFor } from "../lib/process.js";
import { ping, pingJob, pingUntilAnswered, repliesIn } from "../lib/traffic.js";
import { bind, type BoundPort, Host, type Instance } from "./cloud.js";
import { findQemu, qemuOf } from "./qemu-process.js";
import { record } from "./report.js";

const withReconnect = (xml: string) =>
  xml.replace(/(<source [^>]*)\/>/, '$1><reconnect enabled="yes" timeout="1"/></source>');

describeNeeding(["switch", "libvirt", "qemu"], "restarts: what is left when a side goes", () => {
  const server = bind("one", "server");
  const client = bind("two", "client");
  const again = bind("plugged", "client");
  const ports = [server, client, again];
  const names = ports.map(({ vifName }) => vifName);
  let host: Host;
  let [ofServer, ofClient, ofAgain] = [] as unknown as [Instance, Instance, Instance];

  beforeAll(async () => {
    host = await Host.start();
  });
  afterAll(async () => host?.stop());

  /** Every instance reaches every other. */
  async function allReached(): Promise<void> {
    await host.bridge.waitForState("running", names);
    for (const from of [ofServer, ofClient, ofAgain]) {
      for (const to of [ofServer, ofClient, ofAgain].filter((other) => other !== from)) {
        expect(await ping(from, to, 3), `${from.name} → ${to.name}`).toBe(3);
      }
    }
  }

  /** Milliseconds until `to` answers `from`, of this measurement's own beginning. */
  async function answeredAfter(context: TestContext, what: string, from: Instance, to: Instance, begin: number) {
    await pingUntilAnswered(from, to);
    record(context, what, `first ping answered after ${Math.round(performance.now() - begin)} ms`);
  }

  /** Sends 100 pings in 10 s while `action` goes on; says how many were answered. */
  async function during(action: () => Promise<void>): Promise<number> {
    const flow = await pingJob(ofServer, ofClient, 100, 0.1);
    await host.bridge.waitForFramesTo(client.vifName, 5);
    await action();
    return repliesIn((await flow.result(60_000)).output);
  }

  async function waitsFor(port: BoundPort): Promise<void> {
    await host.bridge.waitForState("waiting", [port.vifName]);
  }

  test("an instance in mode client is refused while its switch is not there", async (context) => {
    ofClient = await host.instance("client", [client], { start: false });
    const refusal = await ofClient.start().then(
      () => "",
      (error: Error) => error.message,
    );
    expect(refusal).toMatch(/No such file or directory/);
    record(context, "switch absent, start in mode client", /Failed to connect to .*/.exec(refusal)?.[0] ?? refusal);
  });

  test("an instance in mode server waits for its switch", async (context) => {
    ofServer = await host.instance("server", [server], { start: false });
    let started = false;
    const starting = ofServer.start().then(() => {
      started = true;
    });
    // QEMU listens, and its libvirt cannot talk to it before somebody connects.
    await waitFor("QEMU to listen", 60_000, () => findQemu("server") !== undefined && existsSync(server.path));
    expect(started).toBe(false);
    await host.plug(server);
    await starting;
    await ofServer.booted();
    await host.bridge.waitForState("running", [server.vifName]);
    record(context, "switch absent, start in mode server", "virsh start waits; goes on as soon as the switch connects");
  });

  test("all three run", async () => {
    await host.plug(client);
    await host.plug(again);
    await ofClient.start();
    ofAgain = await host.instance("reconnect", [again], { edit: withReconnect });
    for (const instance of [ofClient, ofAgain]) await instance.booted();
    await allReached();
  });

  test("the switch reads its configuration again: nobody notices", async (context) => {
    const replies = await during(async () => {
      for (let i = 0; i < 5; i++) process.kill(host.bridge.pid, "SIGHUP");
      await host.bridge.status();
    });
    expect(replies).toBe(100);
    record(context, "switch reads its configuration again", `${replies} of 100 pings answered`);
  });

  test("libvirtd is killed and started again: nobody notices", async (context) => {
    const replies = await during(() => host.libvirt.restart());
    expect(replies).toBe(100);
    expect(await host.libvirt.virsh("domifstat", "server", server.vifName)).toMatch(/rx_packets \d+/);
    record(context, "libvirtd restarts", `${replies} of 100 pings answered; domifstat goes on`);
  });

  test("the switch is killed and started again: who comes back", async (context) => {
    await host.killSwitch();
    const begin = performance.now();
    await host.startSwitch();
    record(context, "switch, kill to ready", `${Math.round(performance.now() - begin)} ms`);
    await host.bridge.waitForState("running", [server.vifName, again.vifName]);
    await answeredAfter(context, "mode server, and client with <reconnect>", ofServer, ofAgain, begin);
    // QEMU without reconnect makes no second attempt: the others have come back and it has not.
    expect(await ping(ofServer, ofClient, 20)).toBe(0);
    const port = await host.bridge.port(client.vifName);
    expect([port.state, port.connections]).toEqual(["waiting", 0]);
    record(context, "mode client as Nova writes it", "cut off: 0 of 20 pings answered, `status` says waiting");
  });

  test("an interface that was cut off comes back by detach and attach", async (context) => {
    const file = host.libvirt.xmlFile("again", client.xml);
    const begin = performance.now();
    await host.libvirt.virsh("detach-device", "client", file, "--live");
    await ofClient.must("while [ -e /sys/class/net/eth0 ]; do usleep 50000; done");
    await waitFor("libvirt to see the interface gone", 30_000, async () => {
      return !(await host.libvirt.virsh("domiflist", "client")).includes(client.mac);
    });
    await host.libvirt.virsh("attach-device", "client", file, "--live");
    await ofClient.must("until [ -e /sys/class/net/eth0 ]; do usleep 50000; done");
    await ofClient.must(`ip address add ${client.ip}/24 dev eth0 && ip link set eth0 up`);
    await host.bridge.waitForState("running", [client.vifName]);
    await answeredAfter(context, "cut-off interface, detach-device and attach-device", ofServer, ofClient, begin);
    await allReached();
  });

  test("a guest reboots: its port comes back, in every mode", async (context) => {
    for (const instance of [ofServer, ofClient, ofAgain]) {
      const begin = performance.now();
      await instance.reboot();
      const from = instance === ofServer ? ofClient : ofServer;
      await answeredAfter(context, `guest ${instance.name} reboots (with its boot)`, from, instance, begin);
    }
    await allReached();
  });

  test("a QEMU is killed: its port waits, and runs again with the next one", async (context) => {
    for (const [instance, port] of [
      [ofServer, server],
      [ofClient, client],
      [ofAgain, again],
    ] as const) {
      process.kill(qemuOf(instance.name).pid, "SIGKILL");
      await waitsFor(port);
      await waitFor("libvirt to see it", 30_000, async () => {
        return (await host.libvirt.virsh("domstate", instance.name)).includes("shut off");
      });
      const begin = performance.now();
      await instance.start();
      await instance.booted();
      const from = instance === ofServer ? ofClient : ofServer;
      await answeredAfter(
        context,
        `QEMU of ${instance.name} killed, started again (with its boot)`,
        from,
        instance,
        begin,
      );
    }
    await allReached();
  });
});
