// A machine without a disk: its firmware (iPXE) asks for an address, fetches a kernel over the switch and starts it, so
// the NIC has two drivers one after the other, with different features, in one vhost-user session. The other guest
// serves address and files.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, type GuestOptions, netbootFiles, startGuest } from "./lib/guest.js";
import { describeNeeding } from "./lib/needs.js";
import { progress, scratch } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { bulk, ping } from "./lib/traffic.js";

const serverIp = "10.0.14.1";
const clientIp = "10.0.14.2";
const dhcp = `start ${clientIp}
end ${clientIp}
interface eth0
lease_file /tmp/leases
opt subnet 255.255.255.0
boot_file http://${serverIp}/boot.ipxe
`;
// The firmware's driver takes none of mergeable buffers and packed rings.
const variants = [
  {
    what: "a legacy device",
    device: ["disable-modern=on", "disable-legacy=off"],
    headerBytes: [10, 12],
    packed: false,
  },
  { what: "packed rings for the system", device: ["packed=on"], headerBytes: [12, 12], packed: true },
];

describeNeeding(["switch", "qemu-10"], "F43: a machine that boots from the network", () => {
  const ports = ["server", "client"].map((name) => socketPort(name));
  const [serverPort, clientPort] = ports as [(typeof ports)[0], (typeof ports)[0]];
  const machine: GuestOptions = {
    ...{ qemu: "10", machine: "pc", name: "client", netboot: true, memoryMb: 256 },
    ...{ mac: "52:54:00:00:0e:02", address: `${clientIp}/24`, socket: clientPort.path },
  };
  let bridge: RunningSwitch;
  let server: Guest;
  let client: Guest | undefined;

  beforeAll(async () => {
    bridge = await startSwitch(ports);
    const { kernel, initrd, script } = netbootFiles(machine, `http://${serverIp}`);
    const [scriptFile, dhcpFile] = [join(scratch, "boot.ipxe"), join(scratch, "udhcpd.conf")];
    writeFileSync(scriptFile, script);
    writeFileSync(dhcpFile, dhcp);
    server = await startGuest({
      ...{ qemu: "10", name: "server", memoryMb: 256, socket: serverPort.path },
      ...{ mac: "52:54:00:00:0e:01", address: `${serverIp}/24` },
      files: {
        ...{ "/srv/kernel": kernel, "/srv/initrd": initrd, "/srv/boot.ipxe": scriptFile },
        "/etc/udhcpd.conf": dhcpFile,
      },
    });
    await server.booted();
    await server.must("touch /tmp/leases && udhcpd /etc/udhcpd.conf && httpd -h /srv");
  });
  afterAll(async () => {
    await client?.kill();
    await server?.kill();
    await bridge?.kill();
  });

  test.each(variants)("$what", async ({ what, device, headerBytes, packed }) => {
    const connections = (await bridge.port(clientPort.name)).connections;
    client = await startGuest({ ...machine, device });
    // Some hundred frames: the firmware fetches the kernel.
    await bridge.waitForFramesTo(clientPort.name, 500, 120_000);
    const firmware = await bridge.port(clientPort.name);
    expect(firmware.features).not.toContain("VIRTIO_NET_F_MRG_RXBUF");
    expect(firmware.features).not.toContain("VIRTIO_F_RING_PACKED");
    await client.booted(180_000);
    await bridge.waitForState("running", [clientPort.name]);
    const system = await bridge.port(clientPort.name);
    expect([firmware.headerBytes, system.headerBytes]).toEqual(headerBytes);
    expect(system.features).toContain("VIRTIO_NET_F_MRG_RXBUF");
    expect(system.features.includes("VIRTIO_F_RING_PACKED")).toBe(packed);
    expect(system.connections).toBe(connections + 1);
    expect(await ping(server, client, 10)).toBe(10);
    const { sent, received } = await bulk(client, server, 4);
    expect(received).toBe(sent);
    await client.kill();
    await bridge.waitForState("waiting", [clientPort.name]);
    progress(`booted from the network: ${what}`);
  });
});
