// The second step: Nova makes a VIF of Neutron's port (nova/network/neutron.py, _build_vif_model) and of that the object
// that it hands to os-vif, which names the plugin (nova/network/os_vif_util.py). Key names are Nova's and os-vif's.

import { NIC_NAME_LEN, VHOST_USER_PREFIX } from "./neutron.js";
import { VifRefusal } from "./refusal.js";
import type { NovaInput, VifDetails } from "./schema.js";
import { socketFault } from "./socket-path.js";

/** nova.network.model.VIF as Nova stores it. */
export interface NovaVif {
  id: string;
  address: string;
  type: string;
  vnic_type: string;
  details: VifDetails;
  profile: Record<string, unknown>;
  devname: string;
  ovs_interfaceid: string | null;
  active: boolean;
  preserve_on_delete: boolean;
  delegate_create: true;
  qbg_params: null;
  qbh_params: null;
  meta: Record<string, never>;
  network: {
    id: string;
    bridge: string | null;
    label: string | null;
    subnets: never[];
    /** Of a Linux bridge. */
    should_create_bridge?: true;
    meta: {
      injected: false;
      mtu: number | null;
      physical_network: null;
      tenant_id: string | null;
      tunneled: false;
    };
  };
}

export interface PortProfile {
  class: string;
  interface_id?: string;
  datapath_type?: string | null;
  bridge_name?: string;
  hybrid_plug?: boolean;
  create_port?: true;
}

/** An object of os_vif.objects.vif: `plugin` plugs it. */
export interface OsVif {
  class: "VIFVHostUser" | "VIFOpenVSwitch" | "VIFBridge";
  id: string;
  address: string;
  plugin: string;
  vif_name: string;
  active: boolean;
  preserve_on_delete: boolean;
  has_traffic_filtering: boolean;
  network: { id: string; bridge?: string; label?: string; mtu: number | null };
  port_profile?: PortProfile;
  /** Of VIFVHostUser: QEMU's role, and the socket. */
  mode?: "client" | "server";
  path?: string;
  /** Of VIFOpenVSwitch and VIFBridge. */
  bridge_name?: string;
}

const short = (name: string) => name.slice(0, NIC_NAME_LEN);
/** Bridges that only os-vif's plugins make. */
const hybridBridge = (id: string) => short(`qbr${id}`);

/** The VIF that Nova makes of a port and its network. */
export function novaVif({ port, network, conf }: NovaInput): NovaVif {
  const type = port["binding:vif_type"] ?? "";
  const details = port["binding:vif_details"] ?? {};
  const networkId = port.network_id ?? network?.id ?? "";
  const bridge = bridgeOf(type, details, networkId, String(conf?.["neutron.ovs_bridge"] ?? "br-int"));
  const ovs = type === "ovs" || (type === "vhostuser" && details.vhostuser_ovs_plug);
  return {
    id: port.id,
    address: port.mac_address,
    type,
    vnic_type: port["binding:vnic_type"] ?? "normal",
    details,
    profile: port["binding:profile"] ?? {},
    devname: short(`tap${port.id}`),
    ovs_interfaceid: ovs ? port.id : null,
    // Nobody announces a port that is administratively down, so Nova does not wait for it.
    active: port.admin_state_up === false || port.status === "ACTIVE",
    preserve_on_delete: false,
    delegate_create: true,
    qbg_params: null,
    qbh_params: null,
    meta: {},
    network: {
      id: networkId,
      bridge: bridge === undefined ? null : short(bridge),
      label: network?.name ?? null,
      subnets: [],
      ...(type === "bridge" && { should_create_bridge: true }),
      meta: {
        injected: false,
        mtu: network?.mtu ?? null,
        physical_network: null,
        tenant_id: network?.tenant_id ?? port.tenant_id ?? null,
        tunneled: false,
      },
    },
  };
}

function bridgeOf(type: string, details: VifDetails, networkId: string, ovsBridge: string): string | undefined {
  const named = details.bridge_name ?? undefined;
  if (type === "ovs" || (type === "vhostuser" && details.vhostuser_ovs_plug)) return named ?? ovsBridge;
  if (type === "bridge" || (type === "vhostuser" && details.vhostuser_fp_plug)) return named ?? `brq${networkId}`;
  return undefined;
}

/**
 * The object that Nova hands to os-vif.
 * @throws VifRefusal for what has no such object, or cannot be one
 */
export function osVif(vif: NovaVif): OsVif {
  switch (vif.type) {
    case "vhostuser":
      return vhostUser(vif);
    case "ovs":
      return openVSwitch(vif);
    case "bridge":
      return { ...common(vif, "linux_bridge", "VIFBridge"), bridge_name: vif.network.bridge! };
    case "":
      throw new VifRefusal("port: binding:vif_type is missing: bind the port to a host first");
    case "binding_failed":
    case "unbound":
      throw new VifRefusal(
        `port: binding:vif_type is "${vif.type}", so the port has no host: see "ringbridge vif bind" for the reason`,
      );
    default:
      throw new VifRefusal(
        `port: binding:vif_type "${vif.type}" is none of vhostuser, ovs, bridge: a vhost-user switch needs vhostuser`,
      );
  }
}

/** What the os-vif objects of all classes have. */
function common(vif: NovaVif, plugin: string, kind: OsVif["class"], vifName = vif.devname): OsVif {
  const { id, bridge, label, meta } = vif.network;
  return {
    class: kind,
    id: vif.id,
    address: vif.address.toLowerCase(),
    plugin,
    vif_name: vifName,
    active: vif.active,
    preserve_on_delete: vif.preserve_on_delete,
    has_traffic_filtering: vif.details.port_filter ?? false,
    network: {
      id,
      ...(bridge !== null && { bridge }),
      ...(label !== null && { label }),
      mtu: meta.mtu,
    },
  };
}

function vhostUser(vif: NovaVif): OsVif {
  const { vhostuser_fp_plug, vhostuser_ovs_plug, vhostuser_vrouter_plug } = vif.details;
  const { mode, path } = socketOf(vif);
  if (vhostuser_fp_plug) {
    const object = common(vif, "vhostuser_fp", "VIFVHostUser");
    return { ...object, mode, path, port_profile: fastPathProfile(vif, vhostuser_ovs_plug ?? false) };
  }
  if (vhostuser_ovs_plug) {
    const object = common(vif, "ovs", "VIFVHostUser", short(VHOST_USER_PREFIX + vif.id));
    return { ...object, mode, path, port_profile: ovsProfile(vif) };
  }
  const plugin = vhostuser_vrouter_plug ? "contrail_vrouter" : "noop";
  return { ...common(vif, plugin, "VIFVHostUser"), mode, path };
}

/** QEMU's role and the socket, checked. */
function socketOf({ details }: NovaVif): { mode: "client" | "server"; path: string } {
  const mode = details.vhostuser_mode === undefined ? "server" : details.vhostuser_mode;
  const key = "port: binding:vif_details.vhostuser";
  if (mode !== "client" && mode !== "server") {
    throw new VifRefusal(
      `${key}_mode is ${JSON.stringify(mode)}: it is QEMU's role, "server" when QEMU makes the socket, else "client"`,
    );
  }
  const path = details.vhostuser_socket;
  if (!path) throw new VifRefusal(`${key}_socket is missing: the mechanism driver must name the socket's path`);
  const fault = socketFault(path);
  if (fault !== undefined) throw new VifRefusal(`${key}_socket: ${fault}`);
  return { mode, path };
}

function ovsProfile(vif: NovaVif): PortProfile {
  return {
    class: "VIFPortProfileOpenVSwitch",
    interface_id: vif.ovs_interfaceid ?? vif.id,
    datapath_type: vif.details.datapath_type ?? null,
  };
}

/** 6WIND's fast path. */
function fastPathProfile(vif: NovaVif, ovs: boolean): PortProfile {
  const bridge_name = vif.network.bridge!;
  if (!ovs) return { class: "VIFPortProfileFPBridge", bridge_name };
  const hybrid_plug = vif.details.ovs_hybrid_plug ?? false;
  return {
    ...ovsProfile(vif),
    class: "VIFPortProfileFPOpenVSwitch",
    bridge_name: hybrid_plug ? hybridBridge(vif.id) : bridge_name,
    hybrid_plug,
  };
}

/** No vhost-user at all, but what Neutron binds when the datapath is the kernel's. */
function openVSwitch(vif: NovaVif): OsVif {
  if (vif.vnic_type !== "normal") {
    throw new VifRefusal(
      `port: binding:vnic_type "${vif.vnic_type}" is a host's device: only "normal" is a virtio card`,
    );
  }
  if (vif.details.ovs_hybrid_plug) {
    const object = common(vif, "ovs", "VIFBridge");
    return { ...object, bridge_name: hybridBridge(vif.id), port_profile: ovsProfile(vif) };
  }
  const object = common(vif, "ovs", "VIFOpenVSwitch");
  return { ...object, bridge_name: vif.network.bridge!, port_profile: { ...ovsProfile(vif), create_port: true } };
}
