// The guest's MTU, which Nova does not put into a vhostuser interface and libvirt 9 cannot carry there, and what does work;
// and multiqueue, of which QEMU may ask for more than the port has.
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeNeeding } from "../lib/needs.js";
import { waitFor } from "../lib/process.js";
import { ping } from "../lib/traffic.js";
import { qemuArguments } from "../../../src/vif/qemu.js";
import { bind, Host, type Instance } from "./cloud.js";
import { overrideSnippet } from "./document.js";
import { record } from "./report.js";

const MTU = 1450;
const withMtu = (xml: string) => xml.replace("</interface>", `<mtu size="${MTU}"/></interface>`);
/** Flavor and configuration with which Nova asks for as many queue pairs as there are processors. */
const multiqueue = (vcpus: number, max_queues?: number) => ({
  flavor: { name: "mq", vcpus, extra_specs: { "hw:vif_multiqueue_enabled": "true" } },
  conf: { "libvirt.virt_type": "kvm", ...(max_queues !== undefined && { "libvirt.max_queues": max_queues }) },
});

describeNeeding(["switch", "libvirt", "qemu"], "MTU and queues: what libvirt and QEMU make of them", () => {
  const one = bind("one", "server");
  const two = bind("two", "client");
  const mq = bind("plugged", "server", multiqueue(3));
  let host: Host;
  let a: Instance;
  let b: Instance;

  beforeAll(async () => {
    host = await Host.start();
    for (const port of [one, two]) await host.plug(port);
  });
  afterAll(async () => host?.stop());

  test("libvirt 9 does not start a guest whose vhostuser interface has <mtu>; `vif qemu` says so before", async (context) => {
    const refused = await host.instance("refused", [one], { edit: withMtu, start: false });
    const refusal = await refused.start().then(
      () => "",
      (error: Error) => error.message,
    );
    expect(refusal).toMatch(/MTU/);
    record(context, "libvirt with <mtu>", /error: (?!Failed to start).*/.exec(refusal)?.[0] ?? refusal);
    expect(() => qemuArguments({ interfaces: [withMtu(one.xml)] })).toThrow(/<mtu>: libvirt 9 looks for a tap/);
  });

  test("with qemu:override the guest has the MTU from its first moment", async (context) => {
    a = await host.instance("one", [one], { qemu: overrideSnippet(MTU) });
    b = await host.instance("two", [two]);
    for (const instance of [a, b]) await instance.booted();
    expect((await a.must("cat /sys/class/net/eth0/mtu")).trim()).toBe(String(MTU));
    const port = await host.bridge.port(one.vifName);
    expect(port.mtu).toBe(MTU);
    expect(port.features).toContain("VIRTIO_NET_F_MTU");
    expect(await ping(a, b, 5, 0.05, MTU - 28)).toBe(5);
    record(context, "guest's eth0, and the switch's port", `MTU ${MTU}`);
  });

  test("a longer frame does not reach that guest, and is counted", async () => {
    // The other guest has 1500 and may send 1500.
    expect(await ping(b, a, 3, 0.05, 1472)).toBe(0);
    expect((await host.bridge.port(one.vifName)).drops.mtu).toBeGreaterThanOrEqual(3);
    expect(await ping(b, a, 3, 0.05, MTU - 28)).toBe(3);
  });

  test("a guest that asks for more queue pairs than its port has is named, and starts when the port has more", async (context) => {
    await host.plug(mq, { queues: 2 });
    const asking = await host.instance("queues", [mq], { vcpus: 3, start: false });
    let started = false;
    const starting = asking.start().then(() => {
      started = true;
    });
    const named = await waitFor("the status to name it", 60_000, async () => {
      const { lastError = "" } = await host.bridge.port(mq.vifName);
      return /queue pairs: a guest that is configured with more/.test(lastError) && lastError;
    });
    expect(started).toBe(false);
    record(context, "`ringbridge status`", named);

    await host.plug(mq, { queues: 3 });
    await starting;
    await asking.booted();
    await host.bridge.waitForState("running", [mq.vifName]);
    const queues = await asking.must("ls /sys/class/net/eth0/queues | grep -c tx");
    expect(Number(queues)).toBe(3);
    expect((await host.bridge.port(mq.vifName)).queues).toHaveLength(6);
    expect(await ping(asking, a, 5)).toBe(5);
    record(context, "port with as many queues", "virsh start, which had waited, goes on; 3 queue pairs in the guest");
  });

  test("[libvirt] max_queues keeps Nova from asking for more", () => {
    expect(bind("plugged", "server", multiqueue(16)).xml).toContain('queues="16"');
    expect(bind("plugged", "server", multiqueue(16, 8)).xml).toContain('queues="8"');
  });
});
