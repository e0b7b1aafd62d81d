// The whole chain for one port, step by step: who makes what of it, from what, and why it ends when it ends.

import { bindPort } from "./neutron.js";
import type { NovaWork } from "./nova.js";
import { novaWork } from "./nova.js";
import { qemuArguments } from "./qemu.js";
import { VifRefusal } from "./refusal.js";
import { bound, isPlain, type PortForVif, type SocketAccess, vifChain } from "./switch-port.js";

/** One step of the chain. */
export interface ChainStep {
  /** Who takes it. */
  by: string;
  /** The file of this project that knows what they do. */
  here: string;
  /** What comes out, as that program has it. */
  made: unknown;
  /** Sentences: what decided it, and what an operator should know. */
  notes: string[];
}

export interface Explanation {
  steps: ChainStep[];
  /** Why the chain ends behind the last step; absent when the guest's card works. */
  refusal?: { by: string; reason: string };
  /** The switch's port, when it comes to that. */
  port?: PortForVif;
}

/** Walks the chain for one port; what `vif plug` takes. A refusal is a part of the answer. Never throws a VifRefusal. */
export function explainChain(value: unknown, access: SocketAccess = {}): Explanation {
  const steps: ChainStep[] = [];
  let port: PortForVif | undefined;
  let by = "Neutron";
  try {
    steps.push(binding(value));
    by = "Nova";
    const work = novaWork(bound(value));
    steps.push(vif(work), plugin(work));
    by = "libvirt";
    steps.push(xml(work), qemu(value, work));
    by = "ringbridge";
    const chain = vifChain(value, access);
    port = { name: chain.name, port: chain.port };
    steps.push(switchPort(port, chain));
    return { steps, port };
  } catch (error) {
    if (!(error instanceof VifRefusal)) throw error;
    return { steps, refusal: { by, reason: error.message } };
  }
}

function binding(value: unknown): ChainStep {
  const step = { by: "Neutron's ML2 driver binds the port to a host", here: "src/vif/neutron.ts" };
  const port = isPlain(value) && isPlain(value.port) ? value.port : value;
  if (isPlain(port) && port["binding:vif_type"] === undefined && isPlain(value) && isPlain(value.agent)) {
    const made = bindPort(value);
    if (!made.bound) throw new VifRefusal(`the port is not bound: ${made.reason}`);
    return { ...step, made, notes: [...whyMode(value.agent, made.vif_type), ...role(made.vif_details)] };
  }
  const { "binding:vif_type": vif_type, "binding:vif_details": vif_details } = isPlain(port) ? port : {};
  const details = isPlain(vif_details) ? vif_details : {};
  return { ...step, made: { vif_type, vif_details }, notes: ["given with the port", ...role(details)] };
}

function whyMode(agent: Record<string, unknown>, type: string): string[] {
  const configurations = isPlain(agent.configurations) ? agent.configurations : {};
  if (type !== "vhostuser") {
    return [
      `the agent's datapath_type is ${JSON.stringify(configurations.datapath_type ?? "system")}: only "netdev" has vhost-user`,
    ];
  }
  const { iface_types } = isPlain(configurations.ovs_capabilities) ? configurations.ovs_capabilities : {};
  const client = Array.isArray(iface_types) && iface_types.includes("dpdkvhostuserclient");
  return [
    client
      ? 'the agent has "dpdkvhostuserclient", a switch that connects: so QEMU is the server'
      : 'the agent has only "dpdkvhostuser", a switch that listens: so QEMU is the client',
  ];
}

function role({ vhostuser_mode, port_filter }: Record<string, unknown>): string[] {
  const notes: string[] = [];
  if (vhostuser_mode === "server")
    notes.push("vhostuser_mode is QEMU's role: QEMU makes the socket, the switch connects");
  if (vhostuser_mode === "client") {
    notes.push(
      "vhostuser_mode is QEMU's role: the switch makes the socket, QEMU connects; Nova asks for no reconnect, so",
    );
    notes.push("after a restart of the switch such a guest stays cut off until it is stopped and started");
  }
  if (port_filter === true)
    notes.push("port_filter says that the switch filters: ringbridge does not enforce security groups");
  return notes;
}

function vif({ stages: { vif } }: NovaWork): ChainStep {
  const notes = vif.active
    ? ["active: Nova does not wait for network-vif-plugged"]
    : ["not active: Nova starts the guest paused and waits for network-vif-plugged (vif_plugging_timeout)"];
  return { by: "Nova makes a VIF of the port and its network", here: "src/vif/nova-vif.ts", made: vif, notes };
}

const PLUGINS: Record<string, string> = {
  noop: "the plugin noop does nothing: whoever makes the switch's ports owns the socket",
  ovs: "the plugin ovs asks ovsdb-server for a port dpdkvhostuser(client): beside ringbridge leave vhostuser_ovs_plug away",
};

function plugin({ stages: { osvif } }: NovaWork): ChainStep {
  const notes = [PLUGINS[osvif.plugin] ?? `the plugin ${osvif.plugin} must be installed beside nova-compute`];
  return {
    by: "Nova hands an object to os-vif, whose plugin plugs it",
    here: "src/vif/nova-vif.ts",
    made: osvif,
    notes,
  };
}

function xml({ input, nic, stages }: NovaWork): ChainStep {
  const notes: string[] = [];
  const { queues } = nic.driver;
  if (queues !== undefined)
    notes.push(`${queues} queue pairs: as many as the flavor has vCPUs, at most [libvirt] max_queues`);
  const mtu = input.network?.mtu;
  if (nic.type === "vhostuser" && mtu) {
    notes.push(`the network's MTU ${mtu} is not here: Nova writes none for vhostuser; the guest learns it by DHCP`);
  }
  return {
    by: "Nova writes the interface of libvirt's domain",
    here: "src/vif/nova-interface.ts",
    made: stages.xml,
    notes,
  };
}

function qemu(value: unknown, { input, nic, stages }: NovaWork): ChainStep {
  const by = "libvirt starts QEMU with these arguments (bus and slot are its choice)";
  const here = "src/vif/qemu.ts";
  if (nic.type !== "vhostuser") return { by, here, made: null, notes: ["not vhost-user: nothing for this switch"] };
  const { backing, note } = memoryOf(value, input);
  const machine = isPlain(value) ? value.machine : undefined;
  const { vcpus, memory_mb } = input.flavor ?? {};
  const made = qemuArguments({ interfaces: [stages.xml], backing, machine, vcpus, memory_mb });
  return { by, here, made: [...made.memory, ...made.net], notes: [...note, ...made.warnings] };
}

/** Nova decides by flavor and nova.conf how a guest's memory is backed; a switch needs a file that it may map. */
function memoryOf(value: unknown, { flavor, conf }: NovaWork["input"]): { backing: unknown; note: string[] } {
  const given = isPlain(value) ? value.backing : undefined;
  if (given !== undefined) return { backing: given, note: [] };
  const pages = flavor?.extra_specs?.["hw:mem_page_size"];
  if (pages !== undefined) {
    return {
      backing: "hugepages-numa",
      note: [`memory in huge pages that are shared, by the flavor's hw:mem_page_size=${pages}`],
    };
  }
  if (Number(conf?.["libvirt.file_backed_memory"] ?? 0) > 0) {
    return { backing: "file", note: ["memory in a file that is shared, by [libvirt] file_backed_memory"] };
  }
  return {
    backing: "none",
    note: [
      "NOTHING MAKES THE MEMORY SHARED, so no switch can map it: give the flavor hw:mem_page_size=large, or nova.conf",
      "[libvirt] file_backed_memory",
    ],
  };
}

function switchPort({ name, port }: PortForVif, { input }: NovaWork): ChainStep {
  const notes = [
    port.connect === undefined ? "the switch listens" : "the switch connects, and tries until QEMU is there",
  ];
  if (input.port.admin_state_up === false)
    notes.push("admin_state_up is false: the guest stays attached, its frames are dropped");
  return { by: "the switch's port", here: "src/vif/switch-port.ts", made: { [name]: port }, notes };
}
