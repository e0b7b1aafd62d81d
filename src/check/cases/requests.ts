// Requests that are answered without memory or rings, and those that nobody should carry out.

import { VHOST_USER_F_PROTOCOL_FEATURES } from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import {
  PROTOCOL_F_CONFIG,
  PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  PROTOCOL_F_MQ,
  PROTOCOL_F_MTU,
  PROTOCOL_F_RESET_DEVICE,
  PROTOCOL_F_STATUS,
} from "../../vhost-user/features.js";
import { encodeMessage, FLAG_NEED_REPLY, MESSAGES, type MessageName, type Payload } from "../../vhost-user/message.js";
import type { CheckCase } from "../case.js";
import { mustRefuse } from "../link.js";
import { NONE, u64 } from "../payloads.js";
import { demand } from "../verdict.js";

const room = "negotiation";
/** About as many as a crypto session's parameters with its keys have. */
const CRYPTO_BYTES = 640;
const PROTOCOL = { features: [VHOST_USER_F_PROTOCOL_FEATURES] } as const;

export const REQUEST_CASES: CheckCase[] = [
  {
    id: "F6a",
    room,
    title: "GET_QUEUE_NUM says 1 to 32768",
    clause: "vhost-user, Multiple queue support: the maximum number of queues",
    needs: { ...PROTOCOL, protocol: [PROTOCOL_F_MQ] },
    sockets: 1,
    run: async ({ offer }) => {
      demand(offer.queuePairs >= 1 && offer.queuePairs <= 32_768, `it says ${offer.queuePairs}`);
      return String(offer.queuePairs);
    },
  },
  {
    id: "F11a",
    room,
    title: "GET_MAX_MEM_SLOTS says at least 1, and does not sink",
    clause: "vhost-user, GET_MAX_MEM_SLOTS: the number must not decrease during a VM's life",
    needs: { ...PROTOCOL, protocol: [PROTOCOL_F_CONFIGURE_MEM_SLOTS] },
    sockets: 1,
    run: async (bench) => {
      const { memSlots } = await bench.sockets.offer();
      demand(memSlots >= 1 && memSlots >= bench.offer.memSlots, `it was ${bench.offer.memSlots}, is ${memSlots}`);
      return String(memSlots);
    },
  },
  {
    id: "N6",
    room,
    title: "GET_STATUS says what SET_STATUS set, and 0 after a reset",
    clause: "vhost-user, GET_STATUS: the device status as defined by virtio, 2.1",
    needs: { ...PROTOCOL, protocol: [PROTOCOL_F_STATUS] },
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated({ protocol: bits(PROTOCOL_F_STATUS) });
      for (const status of [1n, 3n, 11n, 0n]) {
        await link.done("SET_STATUS", u64(status));
        const is = await link.number("GET_STATUS");
        demand(is === status, `it was set to ${status}, and is ${is}`);
      }
    },
  },
  {
    id: "F11b",
    room,
    title: "RESET_DEVICE is taken, and the connection goes on",
    clause: "vhost-user, RESET_DEVICE: disables all rings and resets the internal state",
    needs: { ...PROTOCOL, protocol: [PROTOCOL_F_RESET_DEVICE] },
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated({ protocol: bits(PROTOCOL_F_RESET_DEVICE) });
      await link.done("RESET_DEVICE");
      await link.settle();
    },
  },
  {
    id: "F26",
    room,
    title: "NET_SET_MTU of 1500 is taken",
    clause: "vhost-user, NET_SET_MTU: acknowledged with 0 when the back-end agrees",
    needs: { ...PROTOCOL, protocol: [PROTOCOL_F_MTU] },
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated({ protocol: bits(PROTOCOL_F_MTU) });
      await link.done("NET_SET_MTU", u64(1500n));
      await link.settle();
    },
  },
  {
    id: "F12c",
    room,
    title: "GET_CONFIG is answered with the same offset and size, or with none",
    clause: "vhost-user, GET_CONFIG: the reply has the size of the request, or 0 on error",
    needs: { ...PROTOCOL, protocol: [PROTOCOL_F_CONFIG] },
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated({ protocol: bits(PROTOCOL_F_CONFIG) });
      const reply = await link.ask("GET_CONFIG", { kind: "config", offset: 0, flags: 0, data: new Uint8Array(12) });
      if (reply.kind === "none") return "without any";
      demand(reply.kind === "config", "the reply is no configuration");
      const { offset, data } = reply;
      if (data.length === 0) return "of size 0";
      demand(
        offset === 0 && data.length === 12,
        `the reply has offset ${offset} and ${data.length} bytes, not 0 and 12`,
      );
    },
  },
  {
    id: "M25",
    room,
    title: "requests that do not exist (0, 46, 2^31, 2^32 - 1) are refused or end the connection",
    clause:
      "vhost-user, REPLY_ACK: a message that cannot be handled is acknowledged with nonzero; DPDK cdc37ca3d0: a signed index",
    sockets: 1,
    run: async (bench) => {
      const said: string[] = [];
      for (const request of [0, 46, 0x8000_0000, 0xffff_ffff]) {
        const { link } = await bench.negotiated();
        const outcome = await link.outcomeOf(encodeMessage(request, link.acks ? FLAG_NEED_REPLY : 0, u64(0n)));
        demand(!["done", "silent"].includes(outcome), `request ${request}: ${outcome}`);
        said.push(outcome);
        link.close();
      }
      return said.join(", ");
    },
  },
  ...(
    [
      ["M5a", "CREATE_CRYPTO_SESSION"],
      ["M5b", "CLOSE_CRYPTO_SESSION"],
    ] as const
  ).map(
    ([id, name]): CheckCase => ({
      id,
      room,
      title: `${name} whose every number is 2^32 - 1 is refused`,
      clause: "CVE-2020-10724: key lengths of crypto sessions; a network card has none",
      sockets: 1,
      run: async (bench) => {
        const { link } = await bench.negotiated();
        const head = encodeMessage(MESSAGES[name].number, link.acks ? FLAG_NEED_REPLY : 0, NONE);
        const bytes = new Uint8Array(head.length + CRYPTO_BYTES).fill(0xff);
        bytes.set(head);
        new DataView(bytes.buffer).setUint32(8, CRYPTO_BYTES, true);
        return mustRefuse(await link.outcomeOf(bytes));
      },
    }),
  ),
  {
    id: "M52",
    room,
    title: "postcopy, IOTLB and shared objects, not negotiated, do no harm",
    clause: "vhost-user: each only with its protocol feature",
    sockets: 1,
    run: async (bench) => {
      const names: MessageName[] = ["POSTCOPY_END", "POSTCOPY_LISTEN", "CREATE_CRYPTO_SESSION", "GET_SHARED_OBJECT"];
      const said: string[] = [];
      for (const name of names) {
        const { link } = await bench.negotiated();
        const payload: Payload = name.startsWith("POSTCOPY") ? { kind: "none" } : u64(0n);
        const bytes = encodeMessage(MESSAGES[name].number, link.acks ? FLAG_NEED_REPLY : 0, payload);
        said.push(`${name} ${await link.outcomeOf(bytes)}`);
        link.close();
      }
      return said.join(", ");
    },
  },
];
