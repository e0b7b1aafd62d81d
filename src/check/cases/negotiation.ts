// Features, acknowledgements, and the requests that are answered without memory or rings.

import {
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_UFO,
  VIRTIO_NET_F_GUEST_USO4,
  VIRTIO_NET_F_GUEST_USO6,
  VIRTIO_NET_F_HOST_ECN,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_HOST_UFO,
  VIRTIO_NET_F_HOST_USO,
} from "../../../assembly/spec/virtio.js";
import { bits, hasBit } from "../../core/feature-bits.js";
import { FEATURE_NAMES, PROTOCOL_F_REPLY_ACK } from "../../vhost-user/features.js";
import { encodeMessage, FLAG_NEED_REPLY, MESSAGES } from "../../vhost-user/message.js";
import type { CheckCase } from "../case.js";
import { OUTCOME_WORDS } from "../link.js";
import { NONE, u64, vring } from "../payloads.js";
import { demand } from "../verdict.js";

const room = "negotiation";
const PROTOCOL = { features: [VHOST_USER_F_PROTOCOL_FEATURES] } as const;
const ACKS = { ...PROTOCOL, protocol: [PROTOCOL_F_REPLY_ACK] } as const;

/** What each bit needs (virtio 1.3, 5.1.3.1): one of these. */
const NEEDED: readonly (readonly [bit: number, oneOf: readonly number[]])[] = [
  ...[VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_HOST_USO].map(
    (bit) => [bit, [VIRTIO_NET_F_CSUM]] as const,
  ),
  ...[
    ...[VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_UFO],
    ...[VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_USO6],
  ].map((bit) => [bit, [VIRTIO_NET_F_GUEST_CSUM]] as const),
  [VIRTIO_NET_F_HOST_ECN, [VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6]],
  [VIRTIO_NET_F_GUEST_ECN, [VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6]],
];

export const NEGOTIATION_CASES: CheckCase[] = [
  {
    id: "F12a",
    room,
    title: "GET_FEATURES, again and again, has one answer of 8 bytes with flags 0x5",
    clause: "vhost-user, Header: flags of a reply are version 1 and the reply bit; Front-end message types: a u64",
    sockets: 1,
    run: async (bench) => {
      const link = await bench.link();
      const first = await link.number("GET_FEATURES");
      for (let i = 0; i < 10; i++) demand((await link.number("GET_FEATURES")) === first, "the features changed");
    },
  },
  {
    id: "F12b",
    room,
    title: "NEED_REPLY on a request with a reply of its own brings no second one, and is not echoed",
    clause:
      "vhost-user, REPLY_ACK: messages that already have a reply are not acknowledged; QEMU takes flags 0x5 alone",
    needs: ACKS,
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated();
      for (const name of ["GET_FEATURES", "GET_PROTOCOL_FEATURES", "GET_FEATURES"] as const) {
        await link.ask(name, undefined, [], FLAG_NEED_REPLY);
      }
    },
  },
  {
    id: "F5",
    room,
    title: "a new connection is offered the same features",
    clause: "vhost-user, reconnect: front-ends give up on a back-end whose features differ",
    sockets: 1,
    run: async (bench) => {
      const now = await bench.sockets.offer();
      for (const key of ["features", "protocolFeatures", "queuePairs", "memSlots"] as const) {
        demand(now[key] === bench.offer[key], `${key} was ${bench.offer[key]}, is ${now[key]}`);
      }
    },
  },
  {
    id: "N1",
    room,
    title: "offloads are offered with the bits that they need",
    clause:
      "virtio 1.3, 2.2.2: a device MUST NOT offer a feature that needs one that it does not offer; 5.1.3.1: which needs which",
    sockets: 1,
    run: async ({ offer }) => {
      for (const [bit, oneOf] of NEEDED) {
        const met = !hasBit(offer.features, bit) || oneOf.some((needed) => hasBit(offer.features, needed));
        demand(met, `${FEATURE_NAMES[bit]} is offered without ${oneOf.map((it) => FEATURE_NAMES[it]).join(" or ")}`);
      }
    },
  },
  {
    id: "N2",
    room,
    title: "all features that are offered can be acked",
    clause: "vhost-user, SET_FEATURES: enables features in the underlying back-end",
    sockets: 1,
    run: async (bench) => {
      const features = bench.offer.features & ~bits(VHOST_F_LOG_ALL, VIRTIO_F_ACCESS_PLATFORM);
      const { link } = await bench.negotiated({ features });
      await link.settle();
    },
  },
  {
    id: "M42a",
    room,
    title: "a feature that was not offered is refused",
    clause: "vhost-user, SET_FEATURES: a subset of GET_FEATURES; acknowledged with nonzero when it fails",
    needs: ACKS,
    sockets: 1,
    run: async (bench) => {
      const { link, features } = await bench.negotiated();
      const foreign = [58, 41, 37].find((bit) => !hasBit(bench.offer.features, bit))!;
      const outcome = await link.outcome("SET_FEATURES", u64(features | bits(foreign)));
      demand(outcome === "refused" || outcome === "closed", `bit ${foreign}, not offered, was acked: ${outcome}`);
      return outcome;
    },
  },
  {
    id: "N3",
    room,
    title: "requests with NEED_REPLY are acknowledged with a u64 of 0",
    clause: "vhost-user, REPLY_ACK: the payload is u64, 0 for success",
    needs: ACKS,
    sockets: 1,
    run: async (bench) => {
      const { link, features } = await bench.negotiated();
      await link.done("SET_OWNER");
      await link.done("SET_FEATURES", u64(features));
      await link.done("SET_VRING_NUM", vring(0, 256));
      await link.done("SET_VRING_BASE", vring(0, 0));
      await link.done("SET_VRING_ENABLE", vring(0, 1));
    },
  },
  {
    id: "N4",
    room,
    title: "no acknowledgement without NEED_REPLY",
    clause: "vhost-user, REPLY_ACK: only of messages with the need_reply flag",
    needs: ACKS,
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated();
      await link.say("SET_OWNER");
      await link.say("SET_VRING_NUM", vring(0, 256));
      await link.settle();
    },
  },
  {
    id: "N5",
    room,
    title: "NEED_REPLY before REPLY_ACK was negotiated does no harm",
    // No front-end may set it then; what comes of it is not said, and back-ends differ.
    clause: "vhost-user, REPLY_ACK: the flag may be set once the protocol feature was negotiated",
    sockets: 1,
    run: async (bench) => {
      const link = await bench.link();
      const outcome = await link.outcomeOf(encodeMessage(MESSAGES.SET_OWNER.number, FLAG_NEED_REPLY, NONE));
      demand(outcome !== "silent", OUTCOME_WORDS[outcome]);
      return outcome === "taken" ? "it was not acknowledged" : OUTCOME_WORDS[outcome];
    },
  },
];
