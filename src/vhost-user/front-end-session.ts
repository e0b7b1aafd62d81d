// The front-end's half of a vhost-user connection: which requests it sends, in the order that QEMU >= 7.2 and DPDK's
// virtio-user have. Scripts are generators: they yield a request and are given its reply, so that a test can play one
// against a session without a socket, and the simulated guest can play the same one over a real socket.

import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_STATUS,
} from "../../assembly/spec/virtio.js";
import type { Fd, MemoryRegion } from "./effects.js";
import { bits, hasBit } from "../core/feature-bits.js";
import { PROTOCOL_F_CONFIGURE_MEM_SLOTS, PROTOCOL_F_MQ, PROTOCOL_F_REPLY_ACK, PROTOCOL_F_STATUS } from "./features.js";
import {
  encodeMessage,
  FLAG_NEED_REPLY,
  MESSAGES,
  type MessageName,
  requestLabel,
  type WireMessage,
} from "./message.js";
import { decodePayload, type Payload } from "./payload.js";
import type { RingAddresses } from "./regions.js";

/** One request to send. The descriptors stay the sender's: sendmsg duplicates them. */
export interface FrontEndRequest {
  name: MessageName;
  payload: Payload;
  fds: readonly Fd[];
  /** NEED_REPLY: the front-end waits for an acknowledgement. Only set when REPLY_ACK was negotiated. */
  needReply: boolean;
}

/** Yields requests; is given the decoded reply, or null where none is expected. */
export type Script<T> = Generator<FrontEndRequest, T, Payload | null>;

/** One virtqueue of the guest. Addresses are the front-end's (UVA). */
export interface FrontEndRing extends RingAddresses {
  index: number;
  size: number;
  nextAvail: number;
  /** null: NOFD, the back-end polls. */
  kick: Fd | null;
  /** null: NOFD, the guest polls. */
  call: Fd | null;
}

export interface FrontEndDevice {
  /** Virtio features the driver would use; those that the back-end offers too are acked. */
  features: bigint;
  protocolFeatures: bigint;
  regions: readonly MemoryRegion[];
  /** One for each region. */
  memoryFds: readonly Fd[];
  rings: readonly FrontEndRing[];
}

/** What the connect script found out and agreed. */
export interface Negotiated {
  /** Virtio features as offered by the back-end and known to the device. */
  features: bigint;
  protocolFeatures: bigint;
  queuePairsMax: number;
  memSlotsMax: number;
}

/** Protocol features that QEMU's net device uses of those this back-end may offer. */
export const QEMU_PROTOCOL_FEATURES: bigint = bits(
  PROTOCOL_F_MQ,
  PROTOCOL_F_REPLY_ACK,
  PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  PROTOCOL_F_STATUS,
);
export const DPDK_PROTOCOL_FEATURES: bigint = bits(PROTOCOL_F_MQ, PROTOCOL_F_REPLY_ACK, PROTOCOL_F_STATUS);

/** Features that virtio-user serves itself and does not ack. */
const DPDK_OWN_FEATURES = bits(VIRTIO_NET_F_MAC, VIRTIO_NET_F_STATUS, VIRTIO_NET_F_CTRL_VQ);

const STATUS_ACKNOWLEDGE = 1n;
const STATUS_DRIVER = 2n;
const STATUS_DRIVER_OK = 4n;
const STATUS_FEATURES_OK = 8n;

/** The bytes of a request. */
export function encodeRequest(request: FrontEndRequest): Uint8Array {
  const flags = request.needReply ? FLAG_NEED_REPLY : 0;
  return encodeMessage(MESSAGES[request.name].number, flags, request.payload);
}

/** Whether the back-end will answer the request. */
export function expectsReply(request: FrontEndRequest): boolean {
  return MESSAGES[request.name].reply !== "ack" || request.needReply;
}

/** The payload of the reply to a request. Throws when it answers another request or has another shape. */
export function decodeReply(request: FrontEndRequest, reply: WireMessage): Payload {
  const spec = MESSAGES[request.name];
  if (reply.request !== spec.number) {
    throw new Error(`the back-end answered ${requestLabel(reply.request)} when ${request.name} had been asked`);
  }
  if (spec.reply === "other") throw new Error(`the reply to ${request.name} is not known to this front-end`);
  // An empty payload is how a back-end says that it has no configuration.
  const kind = spec.reply === "config" && reply.payload.length === 0 ? "none" : spec.reply;
  const payload = decodePayload(kind === "ack" ? "u64" : kind, reply.payload);
  if (payload.kind === "bad") throw new Error(`the back-end's reply to ${request.name} is bad: ${payload.reason}`);
  return payload;
}

/** Play a script. `exchange` sends the request and, when expectsReply says so, resolves with the decoded reply. */
export async function playScript<T>(
  script: Script<T>,
  exchange: (request: FrontEndRequest) => Promise<Payload | null>,
): Promise<T> {
  let turn = script.next();
  while (!turn.done) turn = script.next(await exchange(turn.value));
  return turn.value;
}

/** QEMU connects: negotiation, then a call descriptor and the enable for each queue before anything is set up. */
export function* qemuConnect(device: FrontEndDevice): Script<Negotiated> {
  const offered = yield* getU64("GET_FEATURES");
  if (!hasBit(offered, VHOST_USER_F_PROTOCOL_FEATURES)) {
    yield* plain("SET_OWNER");
    return { features: offered & device.features, protocolFeatures: 0n, queuePairsMax: 1, memSlotsMax: 8 };
  }
  const protocolFeatures = (yield* getU64("GET_PROTOCOL_FEATURES")) & device.protocolFeatures;
  yield* setU64("SET_PROTOCOL_FEATURES", protocolFeatures);
  const queuePairsMax = hasBit(protocolFeatures, PROTOCOL_F_MQ) ? yield* getU64("GET_QUEUE_NUM") : 1n;
  const slots = hasBit(protocolFeatures, PROTOCOL_F_CONFIGURE_MEM_SLOTS);
  const memSlotsMax = slots ? yield* getU64("GET_MAX_MEM_SLOTS") : 8n;
  yield* plain("SET_OWNER");
  yield* getU64("GET_FEATURES");
  for (const ring of device.rings) {
    yield* vringFd("SET_VRING_CALL", ring.index, ring.call);
    yield* vringFd("SET_VRING_ERR", ring.index, null);
  }
  for (const ring of device.rings) yield* enable(ring.index, true, hasBit(protocolFeatures, PROTOCOL_F_REPLY_ACK));
  return {
    features: offered & device.features,
    protocolFeatures,
    queuePairsMax: Number(queuePairsMax),
    memSlotsMax: Number(memSlotsMax),
  };
}

/**
 * The guest's driver says DRIVER_OK. QEMU starts one queue pair after the other and sends memory with the first.
 * `memoryKnown`: the back-end has the regions from an earlier start; with memory slots QEMU sends differences only.
 */
export function* qemuStart(device: FrontEndDevice, agreed: Negotiated, memoryKnown = false): Script<void> {
  const ack = hasBit(agreed.protocolFeatures, PROTOCOL_F_REPLY_ACK);
  const pairs = Math.ceil(device.rings.length / 2);
  for (let pair = 0; pair < pairs; pair++) {
    const rings = device.rings.slice(2 * pair, 2 * pair + 2);
    const features = agreed.protocolFeatures === 0n ? agreed.features : withProtocolBit(agreed.features);
    yield* setU64("SET_FEATURES", features);
    yield* addStatus(agreed, STATUS_FEATURES_OK);
    if (pair === 0 && !memoryKnown) yield* sendMemory(device, agreed);
    for (const ring of rings) yield* setUpRing(ring);
    if (pair === pairs - 1) yield* addStatus(agreed, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK);
    for (const ring of rings) yield* vringFd("SET_VRING_CALL", ring.index, ring.call);
    for (const ring of rings) yield* enable(ring.index, true, ack);
  }
}

/** The guest resets, shuts down or is migrated. Returns the next avail index of each ring. */
export function* qemuStop(device: FrontEndDevice, agreed: Negotiated): Script<number[]> {
  const ack = hasBit(agreed.protocolFeatures, PROTOCOL_F_REPLY_ACK);
  for (const ring of device.rings) yield* enable(ring.index, false, ack);
  const stopped = yield* getVringBases(device);
  if (hasBit(agreed.protocolFeatures, PROTOCOL_F_STATUS)) yield* setU64("SET_STATUS", 0n);
  return stopped;
}

/** virtio-user connects. It sends nothing about rings yet. */
export function* dpdkConnect(device: FrontEndDevice): Script<Negotiated> {
  yield* plain("SET_OWNER");
  const offered = yield* getU64("GET_FEATURES");
  let protocolFeatures = 0n;
  let queuePairsMax = 1n;
  if (hasBit(offered, VHOST_USER_F_PROTOCOL_FEATURES)) {
    protocolFeatures = (yield* getU64("GET_PROTOCOL_FEATURES")) & device.protocolFeatures;
    yield* setU64("SET_PROTOCOL_FEATURES", protocolFeatures);
    if (hasBit(protocolFeatures, PROTOCOL_F_MQ)) queuePairsMax = yield* getU64("GET_QUEUE_NUM");
  }
  const features = offered & device.features & ~DPDK_OWN_FEATURES;
  return { features, protocolFeatures, queuePairsMax: Number(queuePairsMax), memSlotsMax: 8 };
}

/** The port starts: call descriptors, features and status, then memory, rings, and the enable of the first pair. */
export function* dpdkStart(device: FrontEndDevice, agreed: Negotiated): Script<void> {
  const ack = hasBit(agreed.protocolFeatures, PROTOCOL_F_REPLY_ACK);
  const withStatus = hasBit(agreed.protocolFeatures, PROTOCOL_F_STATUS);
  for (const ring of device.rings) yield* vringFd("SET_VRING_CALL", ring.index, ring.call);
  yield* setU64("SET_FEATURES", agreed.protocolFeatures === 0n ? agreed.features : withProtocolBit(agreed.features));
  if (withStatus) {
    const wanted = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
    yield* setU64("SET_STATUS", wanted, ack);
    const status = yield* getU64("GET_STATUS");
    if ((status & STATUS_FEATURES_OK) === 0n) throw new Error("the back-end did not accept the features");
  }
  yield* memTable(device, ack);
  for (const ring of device.rings) yield* setUpRing(ring);
  for (const ring of device.rings.slice(0, 2)) yield* enable(ring.index, true, false);
  if (withStatus) {
    yield* setU64("SET_STATUS", STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK, ack);
  }
}

/** The port stops. Returns the next avail index of each ring. */
export function* dpdkStop(device: FrontEndDevice): Script<number[]> {
  for (const ring of device.rings) yield* enable(ring.index, false, false);
  return yield* getVringBases(device);
}

function withProtocolBit(features: bigint): bigint {
  return features | bits(VHOST_USER_F_PROTOCOL_FEATURES);
}

/** Memory as the negotiated protocol features want it: one request for each region, or one table. */
function* sendMemory(device: FrontEndDevice, agreed: Negotiated): Script<void> {
  const ack = hasBit(agreed.protocolFeatures, PROTOCOL_F_REPLY_ACK);
  if (!hasBit(agreed.protocolFeatures, PROTOCOL_F_CONFIGURE_MEM_SLOTS)) return yield* memTable(device, ack);
  for (const [i, region] of device.regions.entries()) {
    yield* ask("ADD_MEM_REG", { kind: "memRegion", region }, [device.memoryFds[i]!], ack);
  }
}

function* memTable(device: FrontEndDevice, needReply: boolean): Script<void> {
  yield* ask("SET_MEM_TABLE", { kind: "memTable", regions: [...device.regions] }, device.memoryFds, needReply);
}

function* setUpRing(ring: FrontEndRing): Script<void> {
  const { index, desc, avail, used } = ring;
  yield* ask("SET_VRING_NUM", { kind: "vringState", index, num: ring.size });
  yield* ask("SET_VRING_BASE", { kind: "vringState", index, num: ring.nextAvail });
  yield* ask("SET_VRING_ADDR", { kind: "vringAddr", index, flags: 0, desc, used, avail, log: 0n });
  yield* vringFd("SET_VRING_KICK", index, ring.kick);
}

function* getVringBases(device: FrontEndDevice): Script<number[]> {
  const stopped: number[] = [];
  for (const { index } of device.rings) {
    const reply = yield* ask("GET_VRING_BASE", { kind: "vringState", index, num: 0 });
    if (reply?.kind !== "vringState" || reply.index !== index) {
      throw new Error(`the back-end answered GET_VRING_BASE of queue ${index} for another queue`);
    }
    stopped.push(reply.num);
  }
  return stopped;
}

/** QEMU's add_status: read, add, write, and read back what was accepted. */
function* addStatus(agreed: Negotiated, add: bigint): Script<void> {
  if (!hasBit(agreed.protocolFeatures, PROTOCOL_F_STATUS)) return;
  const status = (yield* getU64("GET_STATUS")) | add;
  yield* setU64("SET_STATUS", status);
  if ((yield* getU64("GET_STATUS")) !== status) throw new Error("the back-end did not accept the device status");
}

function* enable(index: number, enabled: boolean, needReply: boolean): Script<void> {
  yield* ask("SET_VRING_ENABLE", { kind: "vringState", index, num: enabled ? 1 : 0 }, [], needReply);
}

function* vringFd(
  name: "SET_VRING_KICK" | "SET_VRING_CALL" | "SET_VRING_ERR",
  index: number,
  fd: Fd | null,
): Script<void> {
  yield* ask(name, { kind: "vringFd", index, noFd: fd === null, reserved: 0n }, fd === null ? [] : [fd]);
}

function* plain(name: MessageName): Script<void> {
  yield* ask(name, { kind: "none" });
}

function* setU64(name: MessageName, value: bigint, needReply = false): Script<void> {
  yield* ask(name, { kind: "u64", value }, [], needReply);
}

function* getU64(name: MessageName): Script<bigint> {
  const reply = yield* ask(name, { kind: "none" });
  if (reply?.kind !== "u64") throw new Error(`the back-end did not answer ${name} with a number`);
  return reply.value;
}

/** Send one request; an acknowledgement other than 0 is an error, as it is for every front-end. */
function* ask(name: MessageName, payload: Payload, fds: readonly Fd[] = [], needReply = false): Script<Payload | null> {
  const reply = yield { name, payload, fds, needReply };
  if (needReply && MESSAGES[name].reply === "ack" && (reply?.kind !== "u64" || reply.value !== 0n)) {
    throw new Error(`the back-end refused ${name}`);
  }
  return reply;
}
