// Messages that are none, or come in pieces, and connections that end or are too many.

import { setTimeout as sleep } from "node:timers/promises";
import { VHOST_USER_F_PROTOCOL_FEATURES } from "../../../assembly/spec/virtio.js";
import { PROTOCOL_F_REPLY_ACK } from "../../vhost-user/features.js";
import { encodeMessage, FLAG_NEED_REPLY, FLAG_REPLY, HEADER_SIZE, MESSAGES } from "../../vhost-user/message.js";
import { withEventFd } from "./attachments.js";
import type { CheckCase } from "../case.js";
import { OUTCOME_WORDS, mustRefuse } from "../link.js";
import { NONE, u64, vringFd } from "../payloads.js";
import { demand, Gone, Skip } from "../verdict.js";

const room = "messages";
/** Between two pieces of a message. */
const GAP_MS = 3;

/** A header without regard for what follows it. */
function header(request: number, flags: number, size: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  new Uint32Array(bytes.buffer).set([request, flags, size]);
  return bytes;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const GET_FEATURES = header(MESSAGES.GET_FEATURES.number, 1, 0);

export const MESSAGE_CASES: CheckCase[] = [
  {
    id: "F13a",
    room,
    title: "a message that comes byte by byte is understood",
    clause: "unix(7): a stream socket keeps no boundaries",
    sockets: 1,
    run: async (bench) => {
      const link = await bench.link();
      for (const byte of GET_FEATURES) {
        await link.write(Uint8Array.of(byte));
        // So that it is read before the next one comes.
        await sleep(GAP_MS);
      }
      await link.reply("GET_FEATURES");
    },
  },
  {
    id: "F13b",
    room,
    title: "messages that come together are answered in order",
    clause: "unix(7): a stream socket keeps no boundaries",
    sockets: 1,
    run: async (bench) => {
      const link = await bench.link();
      await link.write(joined(GET_FEATURES, encodeMessage(MESSAGES.SET_OWNER.number, 0, NONE), GET_FEATURES));
      await link.reply("GET_FEATURES");
      await link.reply("GET_FEATURES");
    },
  },
  {
    id: "F13c",
    room,
    title: "a payload that comes later than its header and descriptors is understood",
    clause: "vhost-user, Communication: descriptors are ancillary data of the message",
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated();
      await withEventFd(async (fd) => {
        const bytes = encodeMessage(MESSAGES.SET_VRING_CALL.number, link.acks ? FLAG_NEED_REPLY : 0, vringFd(0));
        await link.write(bytes.subarray(0, HEADER_SIZE), [fd]);
        await sleep(GAP_MS);
        await link.write(bytes.subarray(HEADER_SIZE));
        if (link.acks) {
          const reply = await link.reply("SET_VRING_CALL");
          demand(reply.kind === "u64" && reply.value === 0n, "it was refused");
        }
        await link.settle();
      });
    },
  },
  {
    id: "M41a",
    room,
    title: "a connection that ends in the middle of a header or payload",
    clause: "robustness: front-ends are killed",
    sockets: 1,
    run: async (bench) => {
      const whole = encodeMessage(MESSAGES.SET_FEATURES.number, 0, u64(0n));
      for (const length of [1, HEADER_SIZE - 1, HEADER_SIZE, whole.length - 1]) {
        const link = await bench.link();
        await link.write(whole.subarray(0, length));
        link.close();
      }
    },
  },
  {
    id: "F4",
    room,
    title: "connections that come and go without a word, 20 times",
    clause: "QEMU's connect-fail test",
    sockets: 1,
    run: async (bench) => {
      for (let i = 0; i < 20; i++) (await bench.link()).close();
      await (await bench.link()).settle();
    },
  },
  {
    id: "M41b",
    room,
    title: "a second client on the socket does not disturb the first",
    clause: "vhost-user has one front-end at a time; what becomes of others is the back-end's to say",
    sockets: 1,
    run: async (bench) => {
      if (bench.sockets.once) throw new Skip("it serves one connection");
      if (bench.sockets.target.role === "listen") return "it connects to one socket once";
      const first = await bench.link();
      await first.settle();
      const second = await bench.link();
      await second.say("GET_FEATURES").catch((error: unknown) => {
        if (!(error instanceof Gone)) throw error;
      });
      await first.settle();
    },
  },
  ...(
    [
      ["M26a", "4 GiB", 0xffff_ffff],
      ["M26b", "1 MiB", 1 << 20],
    ] as const
  ).map(
    ([id, amount, size]): CheckCase => ({
      id,
      room,
      title: `a payload of ${amount} is announced: the connection is closed`,
      clause: "vhost-user, Header: size is that of the payload, and no payload is so large (VPP)",
      sockets: 1,
      run: async (bench) => {
        const link = await bench.link();
        await link.settle();
        await link.write(header(MESSAGES.SET_FEATURES.number, 1, size));
        demand(await link.closes(), "it stays open");
      },
    }),
  ),
  ...(
    [
      ["M27a", 0],
      ["M27b", 2],
    ] as const
  ).map(
    ([id, version]): CheckCase => ({
      id,
      room,
      title: `protocol version ${version} does no harm`,
      // What one does with another version is not said: rust-vmm closes, DPDK and libvhost-user do not look.
      clause: "vhost-user, Header: the lower 2 bits are the version, 0x01",
      sockets: 1,
      run: async (bench) => {
        const link = await bench.link();
        await link.settle();
        const outcome = await link.outcomeOf(header(MESSAGES.SET_OWNER.number, version, 0));
        demand(outcome !== "silent", OUTCOME_WORDS[outcome]);
        return OUTCOME_WORDS[outcome];
      },
    }),
  ),
  {
    id: "M27c",
    room,
    title: "a request that is marked as a reply does no harm",
    clause: "vhost-user, Header: bit 2 is for replies of the back-end",
    sockets: 1,
    run: async (bench) => {
      const link = await bench.link();
      const request = encodeMessage(MESSAGES.SET_OWNER.number, FLAG_REPLY, NONE);
      return OUTCOME_WORDS[await link.outcomeOf(request)];
    },
  },
  ...(
    [
      ["M26c", "shorter", 4],
      ["M26d", "longer", 80],
    ] as const
  ).map(
    ([id, word, size]): CheckCase => ({
      id,
      room,
      title: `a payload ${word} than SET_VRING_ADDR has`,
      clause: "vhost-user, Header: size is that of the payload; refused, or the connection closed",
      needs: { features: [VHOST_USER_F_PROTOCOL_FEATURES], protocol: [PROTOCOL_F_REPLY_ACK] },
      sockets: 1,
      run: async (bench) => {
        const { link } = await bench.negotiated();
        const start = header(MESSAGES.SET_VRING_ADDR.number, 1 | FLAG_NEED_REPLY, size);
        return mustRefuse(await link.outcomeOf(joined(start, new Uint8Array(size))));
      },
    }),
  ),
];
