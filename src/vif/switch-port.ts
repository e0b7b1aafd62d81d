// The last step: the port that a vhost-user switch must have so that the guest's card works, in the words of the switch's
// configuration file. QEMU's role and the switch's are opposite.

import { MTU_MAX, MTU_MIN, QUEUE_PAIRS_DEFAULT, QUEUE_PAIRS_MAX } from "../config/schema.js";
import { describeValue } from "../config/problems.js";
import { bindPort, NIC_NAME_LEN, VHOST_USER_PREFIX } from "./neutron.js";
import { type NovaWork, novaWork } from "./nova.js";
import { VifRefusal } from "./refusal.js";
import { UUID } from "./schema.js";

/** A port as a configuration file has it, and as `PUT /v1/ports/NAME` takes it. */
export interface SwitchPort {
  listen?: string;
  connect?: string;
  mode?: string;
  group?: string;
  queues?: number;
  mtu?: number;
  "admin-state-up"?: false;
}

/** A port of the switch for a port of Neutron. */
export interface PortForVif {
  /** os-vif's name of the interface: "vhu" or "tap" and the port's id, cut to 14. */
  name: string;
  port: SwitchPort;
}

/** What holds for all ports that the switch listens for, which QEMU's user must be able to open. */
export interface SocketAccess {
  mode?: string | undefined;
  group?: string | undefined;
}

/** All that is known of a Neutron port once the chain has been walked. */
export interface VifChain extends NovaWork, PortForVif {}

type Plain = Record<string, unknown>;

/**
 * Walks from a port to the switch's port. The input is what `vif xml` takes; a port of Neutron alone; or, when the port
 * is not bound yet, also `agent` and `segment`, which bind it.
 * @throws VifRefusal for what any of the steps refuses
 */
export function vifChain(value: unknown, access: SocketAccess = {}): VifChain {
  const work = novaWork(bound(value));
  return { ...work, ...portFor(work, access) };
}

/** The input with a port that is bound, as far as it can be. */
export function bound(value: unknown): unknown {
  if (!isPlain(value)) throw new VifRefusal("the input must be a map: a port of Neutron, or {port, network, …}");
  if (!isPlain(value.port)) {
    if (!Object.hasOwn(value, "id")) {
      throw new VifRefusal('the input has neither "port" nor, as a port of Neutron has, "id"');
    }
    return { port: value };
  }
  const { port } = value;
  if (port["binding:vif_type"] !== undefined || !isPlain(value.agent)) return value;
  const binding = bindPort(value);
  if (!binding.bound) throw new VifRefusal(`the port is not bound: ${binding.reason}`);
  const details = { "binding:vif_type": binding.vif_type, "binding:vif_details": binding.vif_details };
  return { ...value, port: { ...port, ...details } };
}

function portFor({ input, nic, stages: { osvif } }: NovaWork, access: SocketAccess): PortForVif {
  if (osvif.class !== "VIFVHostUser") {
    throw new VifRefusal(
      `port: binding:vif_type "${input.port["binding:vif_type"]}" is no vhost-user card, so the switch has no port for it: ` +
        'the mechanism driver must bind it as "vhostuser"',
    );
  }
  const path = osvif.path!;
  if (!path.startsWith("/")) {
    throw new VifRefusal(
      `port: binding:vif_details.vhostuser_socket "${path}" is not absolute, and libvirt refuses that`,
    );
  }
  const port: SwitchPort = osvif.mode === "client" ? { listen: path, ...access } : { connect: path };
  const queues = nic.driver.queues ?? 1;
  if (queues > QUEUE_PAIRS_MAX) {
    throw new VifRefusal(
      `flavor: ${queues} queue pairs are more than a port can have (${QUEUE_PAIRS_MAX}): set [libvirt] max_queues`,
    );
  }
  if (queues > QUEUE_PAIRS_DEFAULT) port.queues = queues;
  const mtu = input.network?.mtu ?? 0;
  if (mtu !== 0 && (mtu < MTU_MIN || mtu > MTU_MAX)) {
    throw new VifRefusal(`network: mtu ${mtu} is none of ${MTU_MIN} to ${MTU_MAX}`);
  }
  if (mtu !== 0) port.mtu = mtu;
  if (input.port.admin_state_up === false) port["admin-state-up"] = false;
  return { name: osvif.vif_name, port };
}

/**
 * The names that os-vif may have given to the interface of a port.
 * @throws VifRefusal when the id is none
 */
export function namesForId(id: unknown): string[] {
  if (typeof id !== "string" || !UUID.test(id)) {
    throw new VifRefusal(`id: must be a port's UUID, not ${describeValue(id)}`);
  }
  return [VHOST_USER_PREFIX, "tap"].map((prefix) => (prefix + id).slice(0, NIC_NAME_LEN));
}

export function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
