// The first step of the chain: Neutron's ML2 driver `openvswitch` binds a port to a host, and says how the guest's card
// is to be attached (neutron/plugins/ml2/drivers/openvswitch/mech_driver/mech_openvswitch.py and ml2/drivers/mech_agent.py).

import { posix } from "node:path";
import { parseInput, VifRefusal } from "./refusal.js";
import { type BindInput, BindInputSchema } from "./schema.js";
import { socketFault } from "./socket-path.js";

/** `binding:vif_type` and `binding:vif_details` as Neutron writes them into the port. */
export interface Binding {
  bound: true;
  vif_type: "vhostuser" | "ovs";
  vif_details: Record<string, unknown>;
}

/** No driver could bind the port: `binding:vif_type` becomes "binding_failed". */
export interface NoBinding {
  bound: false;
  /** Why, for people. */
  reason: string;
}

const AGENT_TYPE = "Open vSwitch agent";
const SOCKET_FOLDER = "/var/run/openvswitch";
/** Prefix of a vhost-user interface and its socket, and how long the name of a host's interface is made. */
export const VHOST_USER_PREFIX = "vhu";
export const NIC_NAME_LEN = 14;
const VNIC_TYPES = ["normal", "direct", "smart-nic", "vdpa"];
/** What Neutron offers when the input has no segment. */
const DEFAULT_SEGMENT = { network_type: "vxlan", physical_network: null };

/**
 * Binds a port to the agent's host.
 * @param input `{agent, port, segment}`; without a segment that of a VXLAN network
 * @throws VifRefusal when the input cannot be used
 */
export function bindPort(input: unknown): Binding | NoBinding {
  const { agent, port, segment } = parseInput(BindInputSchema, input, "bind");
  const reason = whyNot(agent, port, segment ?? DEFAULT_SEGMENT);
  if (reason !== undefined) return { bound: false, reason };

  const { configurations } = agent;
  const datapath_type = configurations.datapath_type ?? "system";
  const bridge = configurations.integration_bridge;
  const named = bridge ? { bridge_name: bridge } : {};
  const types = configurations.ovs_capabilities?.iface_types ?? [];
  const vhostUser = types.includes("dpdkvhostuser") || types.includes("dpdkvhostuserclient");
  if (!vhostUser || configurations.datapath_type !== "netdev" || port["binding:vnic_type"] === "direct") {
    const hybrid = configurations.ovs_hybrid_plug ?? null;
    const details = { port_filter: true, connectivity: "l2", ovs_hybrid_plug: hybrid, datapath_type, ...named };
    return { bound: true, vif_type: "ovs", vif_details: details };
  }
  const folder = configurations.vhostuser_socket_dir ?? SOCKET_FOLDER;
  const socket = joinAsPython(folder, (VHOST_USER_PREFIX + port.id).slice(0, NIC_NAME_LEN));
  const fault = socketFault(socket);
  if (fault !== undefined) throw new VifRefusal(`bind: agent.configurations.vhostuser_socket_dir: ${fault}`);
  return {
    bound: true,
    vif_type: "vhostuser",
    vif_details: {
      port_filter: false,
      ovs_hybrid_plug: false,
      // The other way round on purpose: the type names what Open vSwitch does, the mode what QEMU does.
      vhostuser_mode: types.includes("dpdkvhostuserclient") ? "server" : "client",
      vhostuser_ovs_plug: true,
      vhostuser_socket: socket,
      datapath_type,
      ...named,
    },
  };
}

/** Why the agent's host cannot have the port, or undefined. */
function whyNot(
  agent: BindInput["agent"],
  port: BindInput["port"],
  segment: NonNullable<BindInput["segment"]>,
): string | undefined {
  const vnic = port["binding:vnic_type"] ?? "normal";
  if (!VNIC_TYPES.includes(vnic)) {
    return `port.binding:vnic_type is "${vnic}", and the driver binds ${VNIC_TYPES.join(", ")} only: use "normal"`;
  }
  if (vnic === "direct" && !port["binding:profile"]?.capabilities?.includes("switchdev")) {
    return `port.binding:vnic_type "direct" needs the capability "switchdev" in binding:profile: use "normal"`;
  }
  const type = agent.agent_type ?? AGENT_TYPE;
  if (type !== AGENT_TYPE) return `agent.agent_type is "${type}": the driver needs an "${AGENT_TYPE}"`;
  if (agent.alive === false) return "the agent is dead (alive: false): start neutron-openvswitch-agent on the host";
  const { tunnel_types = [], bridge_mappings = {}, baremetal_smartnic } = agent.configurations;
  if (vnic === "smart-nic" && !baremetal_smartnic) {
    return `port.binding:vnic_type "smart-nic" needs an agent with baremetal_smartnic: use "normal"`;
  }
  const allowed = [...tunnel_types, "local", "flat", "vlan"];
  if (!allowed.includes(segment.network_type)) {
    return (
      `segment.network_type is "${segment.network_type}", and the agent has ${allowed.join(", ")}: ` +
      "add it to the agent's tunnel_types, or use a network of another type"
    );
  }
  if (segment.network_type !== "flat" && segment.network_type !== "vlan") return undefined;
  const physnet = segment.physical_network ?? null;
  if (physnet !== null && Object.hasOwn(bridge_mappings, physnet)) return undefined;
  const known = Object.keys(bridge_mappings).join(", ") || "none";
  return `segment.physical_network ${physnet} is not among the agent's bridge_mappings (${known}): add it there`;
}

/** os.path.join: an absolute second part would win, and one slash stands between; nothing else is tidied up. */
function joinAsPython(folder: string, name: string): string {
  return folder === "" || folder.endsWith(posix.sep) ? folder + name : folder + posix.sep + name;
}
