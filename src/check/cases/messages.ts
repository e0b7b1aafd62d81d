// Messages that are none, or come in pieces, or with descriptors that they should not have.

import { closeSync, openSync, writeSync } from "node:fs";
import { VHOST_USER_F_PROTOCOL_FEATURES } from "../../../assembly/spec/virtio.js";
import { createEventFd } from "../../sys/eventfd.js";
import { closeFd } from "../../sys/memfd.js";
import type { Fd } from "../../vhost-user/effects.js";
import { PROTOCOL_F_REPLY_ACK } from "../../vhost-user/features.js";
import { encodeMessage, FLAG_NEED_REPLY, FLAG_REPLY, HEADER_SIZE, MESSAGES } from "../../vhost-user/message.js";
import type { CheckCase, Workbench } from "../case.js";
import { type Link, OUTCOME_WORDS, type Outcome } from "../link.js";
import { NONE, u64, vring, vringFd } from "../payloads.js";
import { demand, Failure, Gone } from "../verdict.js";

const room = "messages";
const REPEATS = 1000;
/** Descriptors that a back-end may keep of many: the last one, and what its own threads open meanwhile. */
const KEPT_MAX = 8;

/** A header without regard for what follows it. */
function header(request: number, flags: number, size: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  new Uint32Array(bytes.buffer).set([request, flags, size]);
  return bytes;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Refused, or the connection closed. */
function mustRefuse(outcome: Outcome): string {
  demand(["refused", "closed", "taken"].includes(outcome), OUTCOME_WORDS[outcome]);
  return OUTCOME_WORDS[outcome];
}

/** Runs `use` with an eventfd that is closed afterwards. */
async function withEventFd<T>(use: (fd: Fd) => Promise<T>): Promise<T> {
  const fd = createEventFd();
  try {
    return await use(fd);
  } finally {
    closeFd(fd);
  }
}

/** The same request `REPEATS` times with a descriptor: the back-end's number of descriptors must not grow with it. */
async function noLeak(bench: Workbench, send: (link: Link, fd: Fd) => Promise<void>): Promise<string> {
  const { link } = await bench.negotiated();
  await link.settle();
  const before = bench.sockets.descriptors();
  await withEventFd(async (fd) => {
    for (let i = 0; i < REPEATS; i++) await send(link, fd);
    await link.settle();
  });
  const after = bench.sockets.descriptors();
  if (before === undefined || after === undefined) return "the process's descriptors cannot be seen from here";
  demand(after - before <= KEPT_MAX, `${after - before} more descriptors are open after ${REPEATS} of them`);
  return `${after - before} more descriptors`;
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
        await new Promise(setImmediate);
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
        await new Promise((resolve) => setTimeout(resolve, 5));
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
      ["M26a", "a payload of 4 GiB is announced", (l) => l.write(header(MESSAGES.SET_FEATURES.number, 1, 0xffff_ffff))],
      ["M26b", "a payload of 1 MiB is announced", (l) => l.write(header(MESSAGES.SET_FEATURES.number, 1, 1 << 20))],
      ["M27a", "protocol version 0", (l) => l.write(header(MESSAGES.GET_FEATURES.number, 0, 0))],
      ["M27b", "protocol version 2", (l) => l.write(header(MESSAGES.GET_FEATURES.number, 2, 0))],
    ] satisfies [string, string, (link: Link) => Promise<void>][]
  ).map(
    ([id, title, send]): CheckCase => ({
      id,
      room,
      title: `${title}: the connection is closed`,
      clause: id.startsWith("M26")
        ? "vhost-user, Header: size is that of the payload, and no payload is so large (VPP)"
        : "vhost-user, Header: the lower 2 bits are the version, 0x01",
      sockets: 1,
      run: async (bench) => {
        const link = await bench.link();
        await link.settle();
        await send(link);
        demand(await link.closes(), "it stays open");
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
  {
    id: "M10a",
    room,
    title: "8 descriptors with requests that have none are closed",
    clause: "vhost-user, Communication: which messages have descriptors; CVE-2022-0669",
    sockets: 1,
    run: (bench) =>
      noLeak(bench, async (link, fd) => {
        await link.say("SET_VRING_NUM", vring(0, 256), new Array<Fd>(8).fill(fd)).catch(ignoreGone);
      }).catch((error: unknown) => {
        if (error instanceof Gone) return "the connection was closed";
        throw error;
      }),
  },
  ...(
    [
      ["M10b", 9],
      ["M10c", 253],
    ] as const
  ).map(
    ([id, count]): CheckCase => ({
      id,
      room,
      title: `${count} descriptors with one message`,
      clause: "vhost-user, Communication: at most 8; CVE-2022-0669 (MSG_CTRUNC)",
      sockets: 1,
      run: async (bench) => {
        const link = await bench.link();
        return withEventFd(async (fd) => {
          const request = encodeMessage(MESSAGES.SET_OWNER.number, 0, NONE);
          return OUTCOME_WORDS[await link.outcomeOf(request, new Array<Fd>(count).fill(fd))];
        });
      },
    }),
  ),
  {
    id: "M31a",
    room,
    title: "SET_VRING_CALL 1000 times: descriptors are replaced, not collected",
    clause: "DPDK's fixes of descriptor leaks; /proc tells",
    sockets: 1,
    run: (bench) => noLeak(bench, (link, fd) => link.say("SET_VRING_CALL", vringFd(0), [fd])),
  },
  {
    id: "M31b",
    room,
    title: "SET_VRING_ERR 1000 times: descriptors are replaced, not collected",
    clause: "DPDK's fixes of descriptor leaks; /proc tells",
    sockets: 1,
    run: (bench) => noLeak(bench, (link, fd) => link.say("SET_VRING_ERR", vringFd(0), [fd])),
  },
  {
    id: "M2",
    room,
    title: "SET_VRING_NUM 1000 times, each with a descriptor",
    clause: "CVE-2019-14818: surplus descriptors and repeated allocations leak",
    sockets: 1,
    run: (bench) =>
      noLeak(bench, (link, fd) => link.say("SET_VRING_NUM", vring(0, 256), [fd])).catch((error: unknown) => {
        if (error instanceof Gone) return "the connection was closed";
        throw error;
      }),
  },
  ...(
    [
      ["M24a", "bit 8 (no descriptor) and a descriptor", true],
      ["M24b", "neither bit 8 nor a descriptor", false],
    ] as const
  ).map(
    ([id, title, noFd]): CheckCase => ({
      id,
      room,
      title: `SET_VRING_KICK with ${title} is refused`,
      clause: "vhost-user, SET_VRING_KICK: bit 8 is set when there is no descriptor in the ancillary data",
      sockets: 1,
      run: async (bench) => {
        const { link } = await bench.negotiated();
        return withEventFd(async (fd) =>
          mustRefuse(await link.outcome("SET_VRING_KICK", vringFd(0, noFd), noFd ? [fd] : [])),
        );
      },
    }),
  ),
  {
    id: "M40a",
    room,
    title: "a kick that is no eventfd but /dev/zero, always readable",
    clause: "robustness: descriptors are whatever the front-end sends",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      await guest.giveMemory();
      const zero = openSync("/dev/zero", "r");
      try {
        for (const ring of guest.rings) await guest.setUp(ring, { kick: zero });
        await guest.link.settle();
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        return error.message;
      } finally {
        closeSync(zero);
      }
    },
  },
  {
    id: "M40b",
    room,
    title: "a call whose counter is full and would block",
    clause: "eventfd(2): a write that would exceed the counter blocks",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.started();
      const [, ring] = guest.rings;
      const full = guest.keep(createEventFd());
      writeSync(full, new BigUint64Array([0xffff_ffff_ffff_fffen]));
      await guest.link.done("SET_VRING_CALL", vringFd(ring!.index), [full]);
      for (let i = 0; i < 8; i++) guest.send(new Uint8Array(60));
      await bench.until("its buffers did not come back", () => guest.reclaim().length > 0);
      await guest.link.settle();
    },
  },
];

function ignoreGone(error: unknown): void {
  if (!(error instanceof Gone)) throw error;
}
