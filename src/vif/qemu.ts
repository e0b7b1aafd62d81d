// The fourth step: the arguments with which libvirt starts QEMU for its interfaces (qemuBuildInterfaceCommandLine and
// qemuBuildNicDevProps in libvirt 9.0's qemu/qemu_command.c), and for memory that a switch can map.

import { type LibvirtInterface, readInterface } from "./libvirt-interface.js";
import { memoryArguments } from "./memory.js";
import { parseInput, VifRefusal } from "./refusal.js";
import { QemuInputSchema } from "./schema.js";

/** QEMU's arguments, each with its option, in the order of the command line. */
export type QemuArgument = [option: string, value: string];

export interface QemuArguments {
  memory: QemuArgument[];
  net: QemuArgument[];
  /** What starts and yet will not do what the input says. */
  warnings: string[];
}

const DRIVERS = {
  virtio: "virtio-net-pci",
  "virtio-transitional": "virtio-net-pci-transitional",
  "virtio-non-transitional": "virtio-net-pci-non-transitional",
};

/** From <driver> and its children to the properties of the device, in libvirt's order; the rest stands between them. */
const VIRTIO_SWITCHES = { iommu: "iommu_platform", ats: "ats", packed: "packed", page_per_vq: "page-per-vq" };
const TX_MODES: Record<string, string> = { iothread: "bh", timer: "timer" };
const QUEUE_SWITCHES = { ioeventfd: "ioeventfd", event_idx: "event_idx" };
const HOST_SWITCHES = {
  ...{ csum: "csum", gso: "gso", tso4: "host_tso4", tso6: "host_tso6", ecn: "host_ecn", ufo: "host_ufo" },
  mrg_rxbuf: "mrg_rxbuf",
};
const GUEST_SWITCHES = {
  ...{ csum: "guest_csum", tso4: "guest_tso4", tso6: "guest_tso6", ecn: "guest_ecn", ufo: "guest_ufo" },
};
const HASH_SWITCHES = { rss: "rss", rss_hash_report: "hash" };

/**
 * The arguments for a domain's interfaces and memory.
 * @param value `{interfaces, backing, machine, validate}`
 * @throws VifRefusal when it is malformed, or libvirt refuses it
 */
export function qemuArguments(value: unknown): QemuArguments {
  const input = parseInput(QemuInputSchema, value, "qemu");
  const nics = input.interfaces.map((xml, i) => readInterface(xml, `interfaces.${i}`, input.validate ?? true));
  const aliases = new Set<string>();
  const orders = new Set<number>();
  const net = nics.flatMap((nic, i) => {
    const alias = nic.alias ?? freeAlias(nics);
    if (aliases.has(alias)) throw new VifRefusal(`interfaces.${i}: <alias name="${alias}"> is taken: give another`);
    aliases.add(alias);
    if (nic.bootIndex !== undefined) {
      if (orders.has(nic.bootIndex)) {
        throw new VifRefusal(`interfaces.${i}: <boot order="${nic.bootIndex}"> is taken: give another`);
      }
      orders.add(nic.bootIndex);
    }
    return nicArguments(nic, alias);

    function freeAlias(all: readonly LibvirtInterface[]): string {
      return `net${all.slice(0, i).filter((other) => other.alias === undefined).length}`;
    }
  });
  return { net, memory: memoryArguments(input), warnings: nics.flatMap(({ warnings }) => warnings) };
}

/**
 * The view that the cases of test/vif/cases have, and so `vif qemu`: values without their options, and of the sockets
 * those that carry the names that libvirt gives, `charnet0`, not those after an alias of the user's.
 */
export function casesView({ net, memory }: QemuArguments): { net: string[]; memory: string[] } {
  const values = (list: readonly QemuArgument[]) => list.map(([, value]) => value);
  const seen = net.filter(([option, value]) => option !== "-chardev" || value.startsWith("socket,id=charnet"));
  return { net: values(seen), memory: values(memory) };
}

/** -chardev, -netdev and -device of one card. The card's place on the bus is libvirt's choice and left out. */
function nicArguments(nic: LibvirtInterface, alias: string): QemuArgument[] {
  const { socket, driver } = nic;
  const queues = Number(driver.queues ?? 0);
  const multiqueue = queues > 1;
  const chardev = [`socket,id=char${alias}`, `path=${socket.path.replaceAll(",", ",,")}`];
  if (socket.server) chardev.push("server=on");
  if (socket.reconnect !== undefined) chardev.push(`reconnect=${socket.reconnect}`);
  const netdev = { type: "vhost-user", chardev: `char${alias}`, ...(multiqueue && { queues }), id: `host${alias}` };
  const tx = driver.txmode === undefined ? undefined : TX_MODES[driver.txmode];
  const device = {
    driver: DRIVERS[nic.model],
    ...switches(driver, VIRTIO_SWITCHES),
    ...(tx !== undefined && { tx }),
    ...switches(driver, QUEUE_SWITCHES),
    ...switches(nic.host, HOST_SWITCHES),
    ...switches(nic.guest, GUEST_SWITCHES),
    // One interrupt for each ring, one for the control queue, one for changes of the configuration.
    ...(multiqueue && { mq: true, vectors: 2 * queues + 2 }),
    ...positive("rx_queue_size", driver.rx_queue_size),
    ...positive("tx_queue_size", driver.tx_queue_size),
    ...switches(driver, HASH_SWITCHES),
    ...(nic.failover && { failover: true }),
    netdev: `host${alias}`,
    id: alias,
    mac: nic.mac,
    ...(nic.bootIndex !== undefined && { bootindex: nic.bootIndex }),
    ...(nic.multifunction !== undefined && { multifunction: nic.multifunction === "on" }),
    ...(nic.acpiIndex !== undefined && { "acpi-index": nic.acpiIndex }),
    ...(nic.rom?.bar !== undefined && { rombar: Number(nic.rom.bar === "on") }),
    ...(nic.rom?.file !== undefined && { romfile: nic.rom.file }),
  };
  return [
    ["-chardev", chardev.join(",")],
    ["-netdev", JSON.stringify(netdev)],
    ["-device", JSON.stringify(device)],
  ];
}

function switches(from: Record<string, string>, names: Record<string, string>): Record<string, boolean> {
  const given = Object.entries(names).filter(([key]) => from[key] !== undefined);
  return Object.fromEntries(given.map(([key, property]) => [property, from[key] === "on"]));
}

function positive(name: string, value: string | undefined): Record<string, number> {
  return Number(value ?? 0) > 0 ? { [name]: Number(value) } : {};
}
