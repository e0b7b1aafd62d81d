// What is the network device's own: its MTU, its configuration space, and the RARP after a migration.

import { formatMac, isInterfaceMac } from "../../core/mac.js";
import { hasBit } from "../../core/feature-bits.js";
import { PROTOCOL_F_CONFIG } from "../features.js";
import { CONFIG_SIZE_MAX } from "../payload.js";
import { type Handlers, type Plan, refuse } from "../plan.js";
import type { SessionState } from "../state.js";

/** virtio 1.3 section 5.1.4.1. */
const MTU_MIN = 68;
const MTU_MAX = 0xffff;
/** struct virtio_net_config: u8 mac[6], le16 status, le16 max_virtqueue_pairs, le16 mtu; what follows is 0. */
const MAC_BYTES = 6;
const STATUS_OFFSET = 6;
const PAIRS_OFFSET = 8;
const MTU_OFFSET = 10;
const STATUS_LINK_UP = 1;
/** SET_CONFIG flag: the bytes are those of the device on the source of a migration. */
const CONFIG_MIGRATION = 1;

export const NET_HANDLERS: Handlers = {
  NET_SET_MTU: (_, { value }) => {
    if (value < BigInt(MTU_MIN) || value > BigInt(MTU_MAX)) {
      return refuse(`${value} is no MTU, which is ${MTU_MIN} to ${MTU_MAX}`);
    }
    return changeMtu(Number(value));
  },

  SEND_RARP: (_, { value }) => {
    // Only six of the eight bytes are the address.
    const mac = BigInt.asUintN(48, value);
    if (!isInterfaceMac(mac)) return refuse(`${formatMac(mac)} is no address of an interface`);
    return { effects: [{ kind: "sendRarp", mac }] };
  },

  GET_CONFIG: (state, { offset, flags, data }) => {
    const end = offset + data.length;
    // An empty payload is the specification's "no".
    if (!hasConfig(state) || end > CONFIG_SIZE_MAX) return { reply: () => ({ kind: "none" }) };
    return { reply: (s) => ({ kind: "config", offset, flags, data: configSpace(s).subarray(offset, end) }) };
  },
  SET_CONFIG: (state, { offset, flags, data }) => {
    if (!hasConfig(state)) return refuse("VHOST_USER_PROTOCOL_F_CONFIG is not offered");
    if (offset + data.length > CONFIG_SIZE_MAX) return refuse(`the configuration space has ${CONFIG_SIZE_MAX} bytes`);
    if (flags !== CONFIG_MIGRATION) return refuse("a driver can not write any field of a network device");
    const bytes = configSpace(state);
    bytes.set(data, offset);
    const view = new DataView(bytes.buffer);
    const mac = BigInt.asUintN(48, view.getBigUint64(0, true));
    const mtu = view.getUint16(MTU_OFFSET, true);
    if (mtu > 0 && mtu < MTU_MIN) return refuse(`${mtu} is no MTU, which is ${MTU_MIN} to ${MTU_MAX}`);
    const { effects, commit } = changeMtu(mtu === 0 ? null : mtu);
    return { effects, commit: (s) => ({ ...commit(s), mac: mac === 0n ? null : mac }) };
  },
};

function changeMtu(mtu: number | null): Required<Pick<Plan, "effects" | "commit">> {
  return { effects: [{ kind: "setMtu", mtu }], commit: (s) => ({ ...s, mtu }) };
}

function hasConfig(state: SessionState): boolean {
  return hasBit(state.offeredProtocolFeatures, PROTOCOL_F_CONFIG);
}

/** All bytes that may be asked for. The link is up while there is a session. */
function configSpace({ mac, mtu, queuePairs }: SessionState): Uint8Array {
  const bytes = new Uint8Array(CONFIG_SIZE_MAX);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < MAC_BYTES; i++) bytes[i] = Number(((mac ?? 0n) >> BigInt(8 * i)) & 0xffn);
  view.setUint16(STATUS_OFFSET, STATUS_LINK_UP, true);
  view.setUint16(PAIRS_OFFSET, queuePairs, true);
  view.setUint16(MTU_OFFSET, mtu ?? 0, true);
  return bytes;
}
