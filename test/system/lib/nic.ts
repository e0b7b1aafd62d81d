// A vhost-user NIC that is plugged into a running guest and taken out again: a property of the device can be changed
// without booting, and what the driver negotiated is read in the guest.
import type { Guest } from "./guest.js";
import { waitFor } from "./process.js";
import type { RunningSwitch, SwitchPort } from "./switch.js";

export interface NicOptions {
  /** The switch's port, which listens. */
  port: SwitchPort;
  queuePairs?: number;
  /** Properties of virtio-net-pci beside netdev, mac, mq and vectors, such as "packed=on". */
  device?: readonly string[];
}

export interface Nic {
  /** Its name in the guest. */
  readonly name: string;
  /** The device's id in QEMU. */
  readonly device: string;
  /** Bit numbers of the features that the guest's driver has accepted. */
  features(): Promise<Set<number>>;
  /** Takes it out and waits until the switch's port waits for the next front-end. */
  unplug(): Promise<void>;
}

let plugged = 0;

/** Plugs a NIC with the guest's `mac` into it, brings it up with the guest's address, and waits until its port runs. */
export async function plugNic(guest: Guest, bridge: RunningSwitch, options: NicOptions): Promise<Nic> {
  const { port, queuePairs = 1, device = [] } = options;
  const qmp = await guest.qmp();
  const id = `nic${++plugged}`;
  await qmp.execute("chardev-add", {
    id: `${id}-socket`,
    backend: {
      type: "socket",
      data: { addr: { type: "unix", data: { path: port.path } }, server: false, "reconnect-ms": 200 },
    },
  });
  await qmp.execute("netdev_add", {
    ...{ type: "vhost-user", id: `${id}-netdev`, chardev: `${id}-socket` },
    ...(queuePairs > 1 ? { queues: queuePairs } : {}),
  });
  // One vector for each ring, one for configuration, one for the control queue.
  const queues = queuePairs > 1 ? ["mq=on", `vectors=${2 * queuePairs + 2}`] : [];
  const properties = [`netdev=${id}-netdev`, `id=${id}`, `mac=${guest.mac}`, "romfile=", ...queues, ...device];
  await qmp.human(`device_add virtio-net-pci,${properties.join(",")}`);
  const name = await waitFor(`${id} to show in guest ${guest.name}`, 30_000, async () => {
    const { output } = await guest.run(`grep -l '${guest.mac}' /sys/class/net/*/address`);
    return /net\/(\w+)\/address/.exec(output)?.[1];
  });
  if (queuePairs > 1) {
    await guest.must(`ethtool -L ${name} combined ${queuePairs}`);
    // One CPU would use one transmitq: without its map of CPUs the guest spreads flows by their hash.
    await guest.must(`for map in /sys/class/net/${name}/queues/tx-*/xps_cpus; do echo 0 >$map; done`);
  }
  await guest.must(`ip address add ${guest.address} dev ${name} && ip link set ${name} up`);
  await bridge.waitForState("running", [port.name]);
  return {
    name,
    device: id,
    async features() {
      const text = (await guest.must(`cat /sys/class/net/${name}/device/features`)).trim();
      return new Set([...text].flatMap((bit, number) => (bit === "1" ? [number] : [])));
    },
    async unplug() {
      await qmp.execute("device_del", { id });
      await qmp.event("DEVICE_DELETED", { device: id });
      // Its socket goes with it.
      await qmp.execute("netdev_del", { id: `${id}-netdev` });
      await bridge.waitForState("waiting", [port.name]);
    },
  };
}
