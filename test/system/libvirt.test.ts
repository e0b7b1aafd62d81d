// Guests that libvirt starts, from the XML the README shows: one interface in mode client (the switch's port listens),
// one in mode server (the port connects), a ping between them, a switch that is killed under them, and an interface
// taken out of a running guest and put back.
import { mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Channel } from "./lib/channel.js";
import { domifstat, domifstatAgrees } from "./lib/domifstat.js";
import { initramfs } from "./lib/initramfs.js";
import { domainXml, type Libvirt, startLibvirt, xmlText } from "./lib/libvirt.js";
import { busyboxFile, describeNeeding, kernel, qemuFiles } from "./lib/needs.js";
import { progress, scratch, waitFor } from "./lib/process.js";
import { fill, libvirtSnippet } from "./lib/readme.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { ping } from "./lib/traffic.js";

// libvirt goes with the QEMU of its release: an older libvirt cannot drive a newer QEMU.
const emulator = qemuFiles["7.2"] ?? qemuFiles["10"];
// QEMU 7.2 crashes under TCG when the guest uses MSI-X on a vhost-user NIC, also on one that is attached later.
const interrupts = qemuFiles["7.2"] === undefined ? "" : "pci=nomsi ";
const kernelWords = "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off random.trust_cpu=on ipv6.disable=1";

/** The interface in mode server, which listens on by itself: libvirt takes no reconnect there. */
function asServer(nic: string): string {
  return fill(nic.replace(/>\s*<reconnect [^>]*\/>\s*<\/source>/, "/>"), { "mode='client'": "mode='server'" });
}

describeNeeding(["switch", "libvirt", "qemu"], "two libvirt domains", () => {
  const domains = (["client", "server"] as const).map((mode, index) => ({
    mode,
    name: mode,
    mac: `52:54:00:00:06:0${index + 1}`,
    ip: `10.0.6.${index + 1}`,
    port: socketPort(mode, mode === "client" ? "listen" : "connect"),
  }));
  type Domain = (typeof domains)[number];
  const [client, server] = domains as [Domain, Domain];
  const ports = domains.map(({ port }) => port.name);
  const channels: Channel[] = [];
  let bridge: RunningSwitch;
  let libvirt: Libvirt;

  const nic = ({ mode, mac, port }: Domain) => {
    const shown = fill(libvirtSnippet().nic, { "52:54:00:00:00:01": mac, "/tmp/vm1.sock": xmlText(port.path) });
    return mode === "client" ? shown : asServer(shown);
  };

  beforeAll(async () => {
    bridge = await startSwitch(domains.map(({ port }) => port));
    // As the README says: a folder with our program under the name ovs-vsctl, first in the daemon's PATH.
    const programs = join(scratch, "programs");
    mkdirSync(programs);
    symlinkSync(
      fileURLToPath(new URL("../../dist/src/ovs-vsctl/main.js", import.meta.url)),
      join(programs, "ovs-vsctl"),
    );
    libvirt = await startLibvirt({
      PATH: [programs, dirname(process.execPath), process.env.PATH].join(":"),
      RINGBRIDGE_CONTROL: bridge.control,
    });
    progress(`libvirt ${(await libvirt.virsh("version")).trim().replaceAll("\n", ", ")}`);
  });
  afterAll(async () => {
    await libvirt?.daemon.end("SIGKILL");
    await bridge?.kill();
  });

  test("both domains boot and their ports run", async () => {
    for (const domain of domains) {
      const path = join(scratch, `${domain.name}-channel.sock`);
      const channel = await Channel.open(domain.name, path);
      channel.needed = [libvirt.daemon];
      channels.push(channel);
      const xml = domainXml({
        name: domain.name,
        emulator: emulator!,
        memoryMb: 160,
        kernel: kernel!.image,
        initrd: initramfs(kernel!, busyboxFile!),
        append: `${kernelWords} ${interrupts}rb.address=${domain.ip}/24`,
        channel: path,
        console: join(scratch, `${domain.name}-console.log`),
        memory: libvirtSnippet().memory,
        nic: nic(domain),
      });
      await libvirt.virsh("define", libvirt.xmlFile(domain.name, xml));
      await libvirt.virsh("start", domain.name);
    }
    for (const channel of channels) await channel.booted();
    await bridge.waitForState("running", ports);
  });

  test("they reach each other through the switch", async () => {
    expect(await ping(channels[0]!, server, 20)).toBe(20);
    expect(await ping(channels[1]!, client, 20)).toBe(20);
    const frames = (await bridge.status()).ports.map(({ txFrames }) => txFrames);
    expect(Math.min(...frames)).toBeGreaterThanOrEqual(40);
  });

  test.each(domains)(
    "domifstat of the interface in mode $mode has the counters of its port",
    async ({ name, port }) => {
      const row = (await libvirt.virsh("domiflist", name)).trim().split(/\s+/);
      expect(row.slice(0, 2)).toEqual([port.name, "vhostuser"]);
      expect(Number((await domifstat(libvirt, name, port.name)).tx_packets)).toBeGreaterThanOrEqual(40);
      await domifstatAgrees(libvirt, name, port.name, bridge);
    },
  );

  test("traffic resumes after the switch was killed and started again", async () => {
    await bridge.kill();
    bridge = await startSwitch(domains.map(({ port }) => port));
    await bridge.waitForState("running", ports);
    expect(await ping(channels[0]!, server, 20)).toBe(20);
    expect(await ping(channels[1]!, client, 20)).toBe(20);
  });

  test.each(domains)("the interface in mode $mode is taken out and put back", async (domain) => {
    const channel = channels[domains.indexOf(domain)]!;
    const other = channels[domain === client ? 1 : 0]!;
    const file = libvirt.xmlFile(`${domain.name}-nic`, nic(domain));
    await libvirt.virsh("detach-device", domain.name, file, "--live");
    await channel.must("while [ -e /sys/class/net/eth0 ]; do usleep 50000; done");
    await bridge.waitForState("waiting", [domain.port.name]);
    const inDomain = async () => (await libvirt.virsh("domiflist", domain.name)).includes(domain.mac);
    await waitFor(`libvirt to see the interface of ${domain.name} gone`, 30_000, async () => !(await inDomain()));

    await libvirt.virsh("attach-device", domain.name, file, "--live");
    await channel.must("until [ -e /sys/class/net/eth0 ]; do usleep 50000; done");
    await channel.must(`ip address add ${domain.ip}/24 dev eth0 && ip link set eth0 up`);
    await bridge.waitForState("running", [domain.port.name]);
    expect(await ping(other, domain, 20)).toBe(20);
    expect((await bridge.port(domain.port.name)).connections).toBe(2);
  });

  test("a destroyed domain leaves its port waiting", async () => {
    for (const { name } of domains) await libvirt.virsh("destroy", name);
    expect((await libvirt.virsh("list", "--name")).trim()).toBe("");
    await bridge.waitForState("waiting", ports);
    expect(await bridge.stop()).toBe("exited with status 0");
  });
});
