// Descriptors that come with messages: too many, of the wrong kind, again and again.

import { closeSync, openSync, writeSync } from "node:fs";
import { createEventFd } from "../../sys/eventfd.js";
import { closeFd } from "../../sys/memfd.js";
import type { Fd } from "../../vhost-user/effects.js";
import { encodeMessage, MESSAGES } from "../../vhost-user/message.js";
import type { CheckCase, Workbench } from "../case.js";
import { type Link, OUTCOME_WORDS, mustRefuse } from "../link.js";
import { NONE, vring, vringFd } from "../payloads.js";
import { demand, Failure, Gone } from "../verdict.js";

const room = "messages";
const REPEATS = 1000;
/** Descriptors that a back-end may keep of many: the last one, and what its own threads open meanwhile. */
const KEPT_MAX = 8;

const KICK = "vhost-user, SET_VRING_KICK: bit 8 is set when there is no descriptor in the ancillary data";

/** Runs `use` with an eventfd that is closed afterwards. */
export async function withEventFd<T>(use: (fd: Fd) => Promise<T>): Promise<T> {
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

export const ATTACHMENT_CASES: CheckCase[] = [
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
  {
    id: "M24a",
    room,
    title: "SET_VRING_KICK with bit 8 (no descriptor) and a descriptor does no harm",
    // The two contradict each other, and which one counts is not said: DPDK refuses, libvhost-user closes the descriptor.
    clause: KICK,
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated();
      return withEventFd(async (fd) => {
        const outcome = await link.outcome("SET_VRING_KICK", vringFd(0, true), [fd]);
        demand(outcome !== "silent", OUTCOME_WORDS[outcome]);
        return OUTCOME_WORDS[outcome];
      });
    },
  },
  {
    id: "M24b",
    room,
    title: "SET_VRING_KICK with neither bit 8 nor a descriptor is refused",
    clause: KICK,
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated();
      return mustRefuse(await link.outcome("SET_VRING_KICK", vringFd(0)));
    },
  },
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
