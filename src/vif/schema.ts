// What the commands of `ringbridge vif` take, with the key names of Neutron, Nova and libvirt. Keys that do not matter
// here may be there: a port of Neutron's API has many.

import { z } from "zod";
import { isInterfaceMac, parseMac } from "../core/mac.js";
import { describeValue } from "../config/problems.js";

const text = (what = "text") =>
  z.string({ error: (issue) => `must be ${what}, not ${describeValue(issue.input)}` }).max(4096, "is too long");
const flag = () => z.boolean({ error: (issue) => `must be true or false, not ${describeValue(issue.input)}` });
const map = <T extends z.ZodRawShape>(shape: T) =>
  z.looseObject(shape, { error: (issue) => `must be a map, not ${describeValue(issue.input)}` });
const list = () => z.array(text(), { error: (issue) => `must be a list of texts, not ${describeValue(issue.input)}` });
const count = (least: number) =>
  z.custom<number>((value) => Number.isSafeInteger(value) && (value as number) >= least, {
    error: (issue) => `must be a whole number from ${least} on, not ${describeValue(issue.input)}`,
  });

export const UUID = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;
const uuid = () =>
  z.custom<string>((value) => typeof value === "string" && UUID.test(value), {
    error: (issue) => `must be a UUID such as a75e5c46-1d8c-4b7c-9d3a-0f2f4d6a1b11, not ${describeValue(issue.input)}`,
  });

/** A MAC address as Neutron writes it; one with the group bit belongs to no interface. */
const mac = () =>
  z.custom<string>(
    (value) => typeof value === "string" && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(value) && isUnicast(value),
    {
      error: (issue) =>
        `must be the MAC address of one interface such as fa:16:3e:1e:b0:20, not ${describeValue(issue.input)}`,
    },
  );

function isUnicast(value: string): boolean {
  return isInterfaceMac(parseMac(value) ?? 0n);
}

/** What an agent of Neutron reports of its host (agents API, neutron-openvswitch-agent's state report). */
export const AgentSchema = map({
  agent_type: text().optional(),
  alive: flag().optional(),
  configurations: map({
    datapath_type: text().optional(),
    vhostuser_socket_dir: text("a folder's path").optional(),
    ovs_capabilities: map({ iface_types: list().optional() }).optional(),
    tunnel_types: list().optional(),
    bridge_mappings: map({}).optional(),
    integration_bridge: text().nullish(),
    ovs_hybrid_plug: flag().nullish(),
    baremetal_smartnic: flag().nullish(),
  }),
});

/** A segment of the port's network that is offered for the binding. */
export const SegmentSchema = map({
  id: text().optional(),
  network_type: text(),
  physical_network: text().nullish(),
  segmentation_id: count(0).nullish(),
});

/** `binding:vif_details`. What is null counts as absent. */
const VifDetailsSchema = map({
  vhostuser_mode: text().nullish(),
  vhostuser_socket: text("a socket's path").nullish(),
  vhostuser_ovs_plug: flag().nullish(),
  vhostuser_fp_plug: flag().nullish(),
  vhostuser_vrouter_plug: flag().nullish(),
  bridge_name: text().nullish(),
  datapath_type: text().nullish(),
  port_filter: flag().nullish(),
  ovs_hybrid_plug: flag().nullish(),
});
export type VifDetails = z.infer<typeof VifDetailsSchema>;

/** A port of Neutron's API, before its binding. */
export const UnboundPortSchema = map({
  id: uuid(),
  "binding:vnic_type": text().optional(),
  "binding:profile": map({ capabilities: list().nullish() }).nullish(),
});

/** A port of Neutron's API, with its binding. */
export const PortSchema = map({
  id: uuid(),
  mac_address: mac(),
  network_id: uuid().optional(),
  tenant_id: text().optional(),
  status: text().optional(),
  admin_state_up: flag().optional(),
  "binding:vnic_type": text().optional(),
  "binding:vif_type": text().nullish(),
  "binding:vif_details": VifDetailsSchema.nullish(),
  "binding:profile": map({}).nullish(),
});
export type NeutronPort = z.infer<typeof PortSchema>;

/** The network of the port. */
export const NetworkSchema = map({
  id: uuid().optional(),
  name: text().nullish(),
  tenant_id: text().optional(),
  mtu: count(0).nullish(),
});

export const FlavorSchema = map({
  name: text().optional(),
  vcpus: count(1).optional(),
  memory_mb: count(1).optional(),
  extra_specs: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
});

/** What `vif bind` takes. */
export const BindInputSchema = map({ agent: AgentSchema, port: UnboundPortSchema, segment: SegmentSchema.nullish() });
export type BindInput = z.infer<typeof BindInputSchema>;

/** What `vif xml` takes: the port with its binding, and what Nova knows besides. */
export const NovaInputSchema = map({
  port: PortSchema,
  network: NetworkSchema.nullish(),
  flavor: FlavorSchema.nullish(),
  image_properties: map({}).nullish(),
  /** Options of nova.conf as "group.name". */
  conf: z.record(z.string(), z.unknown()).nullish(),
  /** Major number of the Nova to speak as; 29 (2024.1) and later know packed rings. */
  nova: count(1).optional(),
});
export type NovaInput = z.infer<typeof NovaInputSchema>;

/** What `vif qemu` takes: interfaces of one libvirt domain, and how its memory is backed. */
export const QemuInputSchema = map({
  interfaces: list(),
  backing: text().nullish(),
  machine: text().nullish(),
  vcpus: count(1).optional(),
  memory_mb: count(1).optional(),
  /** False: as `virsh create` without --validate. */
  validate: flag().nullish(),
  uri: text().nullish(),
});
export type QemuInput = z.infer<typeof QemuInputSchema>;
