// The third step: what of the flavor, the image and nova.conf gets into the interface of the libvirt domain
// (nova/virt/libvirt/vif.py, designer.py; nova/virt/hardware.py for multiqueue).

import { describeValue } from "../config/problems.js";
import type { OsVif } from "./nova-vif.js";
import { VifRefusal } from "./refusal.js";
import type { NovaInput } from "./schema.js";

/** An interface as Nova writes it, before it is XML. */
export interface NovaInterface {
  type: "vhostuser" | "ethernet" | "bridge";
  mac: string;
  model?: string;
  /** Absent: not written. */
  driver: { name?: string; packed?: "on"; queues?: number; rxQueueSize?: number; txQueueSize?: number };
  /** Of vhostuser. */
  socket?: { mode: string; path: string };
  /** Of bridge. */
  bridge?: string;
  /** Written for ethernet and bridge only. */
  mtu?: number;
  target: string;
  bandwidth: Record<"inbound" | "outbound", Partial<Record<"average" | "peak" | "burst", string>>>;
}

/** Models by `[libvirt] virt_type`; a model that is in none is none of hw_vif_model's. */
const MODELS: Record<string, readonly string[]> = {
  qemu: "virtio ne2k_pci pcnet rtl8139 e1000 e1000e lan9118 spapr-vlan vmxnet3".split(" "),
  kvm: "virtio ne2k_pci pcnet rtl8139 e1000 e1000e spapr-vlan vmxnet3".split(" "),
  lxc: [],
  parallels: ["virtio", "rtl8139", "e1000"],
};
/** What images of long ago say. */
const LEGACY_MODELS: Record<string, string> = {
  virtuale1000: "e1000",
  virtuale1000e: "e1000e",
  virtualpcnet32: "pcnet",
  virtualsriovethernetcard: "sriov",
  virtualvmxnet: "vmxnet",
  virtualvmxnet3: "vmxnet3",
};
/** Those that are the host's device itself: nothing of the guest's card is chosen. */
const PASSTHROUGH = /^(accelerator-)?direct(-physical)?$|^remote-managed$|^vdpa$/;
const RING_SIZES = [256, 512, 1024];
/** The first Nova (2024.1) that asks for packed rings. */
const NOVA_WITH_PACKED = 29;

/**
 * The interface that Nova describes to libvirt.
 * @throws VifRefusal for options, flavors and images that Nova refuses
 */
export function novaInterface(object: OsVif, input: NovaInput): NovaInterface {
  const options = libvirtOptions(input);
  const result: NovaInterface = {
    ...backend(object),
    mac: object.address,
    driver: {},
    target: object.vif_name,
    bandwidth: bandwidth(input, object.class === "VIFVHostUser"),
  };
  if (!PASSTHROUGH.test(input.port["binding:vnic_type"] ?? "normal")) {
    result.model = model(input, options);
    if (result.model === "virtio") result.driver = virtioDriver(input, options);
    // A card of another model has no rings to size; Nova notes it all the same, and writes it for vhostuser only.
    else if (options.rxQueueSize !== undefined) result.driver = { rxQueueSize: options.rxQueueSize };
  }
  if (result.type === "vhostuser") {
    const { rxQueueSize, txQueueSize } = options;
    const { name: _, ...driver } = result.driver;
    result.driver = { ...driver, ...(rxQueueSize && { rxQueueSize }), ...(txQueueSize && { txQueueSize }) };
  } else if (result.driver.name === undefined) {
    // Without a name Nova writes no driver for these.
    result.driver = {};
  }
  return result;
}

interface LibvirtOptions {
  virtType: string;
  useVirtio: boolean;
  maxQueues?: number;
  rxQueueSize?: number;
  txQueueSize?: number;
}

function libvirtOptions({ conf }: NovaInput): LibvirtOptions {
  const option = (name: string) => conf?.[`libvirt.${name}`] ?? undefined;
  const virtType = option("virt_type") ?? "kvm";
  if (typeof virtType !== "string" || !Object.hasOwn(MODELS, virtType)) {
    throw new VifRefusal(
      `conf: [libvirt] virt_type is ${describeValue(virtType)}: it is one of ${Object.keys(MODELS).join(", ")}`,
    );
  }
  const maxQueues = integer(option("max_queues"));
  if (maxQueues === null || (maxQueues !== undefined && maxQueues < 1)) {
    throw new VifRefusal(`conf: [libvirt] max_queues is ${describeValue(option("max_queues"))}: it is 1 or more`);
  }
  return {
    virtType,
    useVirtio: boolFromString(option("use_virtio_for_bridges") ?? true),
    maxQueues,
    rxQueueSize: ringSize("rx_queue_size", option("rx_queue_size")),
    txQueueSize: ringSize("tx_queue_size", option("tx_queue_size")),
  };
}

function ringSize(name: string, value: unknown): number | undefined {
  const size = integer(value);
  if (size === undefined || (size !== null && RING_SIZES.includes(size))) return size;
  throw new VifRefusal(`conf: [libvirt] ${name} is ${describeValue(value)}: it is one of ${RING_SIZES.join(", ")}`);
}

/** A whole number, also as nova.conf has it; undefined when there is none, null when it is something else. */
function integer(value: unknown): number | undefined | null {
  if (value === undefined) return undefined;
  if (typeof value === "number") return Number.isSafeInteger(value) ? value : null;
  return typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : null;
}

/** oslo.utils' bool_from_string: whatever is not a word for yes is a no. */
function boolFromString(value: unknown): boolean {
  return typeof value === "boolean"
    ? value
    : ["1", "t", "true", "on", "y", "yes"].includes(String(value).trim().toLowerCase());
}

function backend(object: OsVif): Pick<NovaInterface, "type" | "socket" | "bridge" | "mtu"> {
  if (object.class === "VIFVHostUser") {
    return { type: "vhostuser", socket: { mode: object.mode!, path: object.path! } };
  }
  const mtu = object.network.mtu ?? undefined;
  if (object.class === "VIFBridge") return { type: "bridge", bridge: object.bridge_name, mtu };
  return { type: "ethernet", mtu };
}

function model({ image_properties }: NovaInput, { virtType, useVirtio }: LibvirtOptions): string | undefined {
  const given = image_properties?.hw_vif_model ?? undefined;
  if (given === undefined) return virtType !== "lxc" && useVirtio ? "virtio" : undefined;
  const name = String(given).toLowerCase();
  const found = LEGACY_MODELS[name] ?? name;
  if (MODELS[virtType]!.includes(found)) return found;
  throw new VifRefusal(
    `image_properties: hw_vif_model ${describeValue(given)} is none that virt_type ${virtType} has: use "virtio"`,
  );
}

function virtioDriver(input: NovaInput, options: LibvirtOptions): NovaInterface["driver"] {
  const { virtType, maxQueues, rxQueueSize } = options;
  const driver: NovaInterface["driver"] = virtType === "qemu" ? { name: "qemu" } : {};
  if (input.nova !== undefined && input.nova >= NOVA_WITH_PACKED && wantsPacked(input)) driver.packed = "on";
  if ((virtType === "kvm" || virtType === "parallels") && wantsMultiqueue(input)) {
    const vcpus = input.flavor?.vcpus ?? 1;
    driver.name = "vhost";
    driver.queues = maxQueues === undefined ? vcpus : Math.min(vcpus, maxQueues);
  }
  if (rxQueueSize === undefined) return driver;
  return { ...driver, name: driver.name ?? "vhost", rxQueueSize };
}

function wantsMultiqueue(input: NovaInput): boolean {
  // A guest with one processor has no use for a second queue, whatever flavor and image say.
  return (input.flavor?.vcpus ?? 1) >= 2 && flavorOrImage(input, "vif_multiqueue_enabled");
}

function wantsPacked(input: NovaInput): boolean {
  return flavorOrImage(input, "virtio_packed_ring");
}

/** A property that flavor (`hw:KEY`) and image (`hw_KEY`) may ask for, and may not differ in. */
function flavorOrImage({ flavor, image_properties }: NovaInput, key: string): boolean {
  const [ofFlavor, ofImage] = [flavor?.extra_specs?.[`hw:${key}`], image_properties?.[`hw_${key}`] ?? undefined];
  const [inFlavor, inImage] = [ofFlavor, ofImage].map((value) => value !== undefined && boolFromString(value));
  if (ofFlavor !== undefined && ofImage !== undefined && inFlavor !== inImage) {
    throw new VifRefusal(
      `flavor ${flavor?.name ?? ""}: hw:${key} is ${inFlavor}, and the image's hw_${key} is ${inImage}: ` +
        "make them equal, or remove one",
    );
  }
  return inFlavor! || inImage!;
}

/** `quota:vif_inbound_average` and the like of the flavor. libvirt could not apply them to vhostuser. */
function bandwidth({ flavor }: NovaInput, vhostUser: boolean): NovaInterface["bandwidth"] {
  const limits: NovaInterface["bandwidth"] = { inbound: {}, outbound: {} };
  for (const [key, value] of Object.entries(flavor?.extra_specs ?? {})) {
    const found = /^quota:vif_(inbound|outbound)_(average|peak|burst)(:|$)/.exec(key);
    if (found && !vhostUser) limits[found[1] as "inbound"][found[2] as "average"] = String(value);
  }
  return limits;
}
