// What a back-end keeps of requests that come again and again, or that it refuses: neither descriptors nor mappings may
// become more. /proc tells, where the back-end's process can be seen.

import { VHOST_USER_F_PROTOCOL_FEATURES } from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import { createMemfd } from "../../sys/memfd.js";
import { PROTOCOL_F_LOG_SHMFD } from "../../vhost-user/features.js";
import { encodeMessage, MESSAGES } from "../../vhost-user/message.js";
import type { CheckCase, Workbench } from "../case.js";
import type { CheckGuest } from "../guest.js";
import { memTable } from "../payloads.js";
import { demand } from "../verdict.js";
import { within } from "../wait.js";

const room = "memory";
const CLAUSE = "CVE-2021-3544, DPDK's fixes of leaks: each way out of a request lets go of what came with it";
const REPEATS = 100;
/** What the process's own threads open and map meanwhile. */
const KEPT_MAX = 16;
const LOG_BYTES = 4096;

/** Does something `REPEATS` times; afterwards, perhaps a moment later, there is no more open or mapped than after the first. */
async function keepsNothing(bench: Workbench, once: () => Promise<void>): Promise<string> {
  const { sockets } = bench;
  const look = () => ({ descriptors: sockets.descriptors(), mappings: sockets.mappings() });
  await once();
  const before = look();
  for (let i = 0; i < REPEATS; i++) await once();
  const said: string[] = [];
  for (const what of ["descriptors", "mappings"] as const) {
    const was = before[what];
    if (was === undefined) {
      said.push(`the process's ${what} cannot be seen from here`);
      continue;
    }
    const more = () => (look()[what] ?? was) - was;
    await within(bench.timeoutMs, () => more() <= KEPT_MAX || undefined);
    demand(more() <= KEPT_MAX, `${more()} more ${what} after ${REPEATS} of them`);
    said.push(`${more()} more ${what}`);
  }
  return said.join(", ");
}

/** A table of two regions of which the second is none. */
async function badTable(guest: CheckGuest): Promise<void> {
  const [file] = guest.files;
  const { region, fd } = file!;
  const none = { ...region, guestAddress: 0x4_0000_0000n, userAddress: 0x7e00_0000_0000n, size: 0n };
  await guest.link.outcomeOf(encodeMessage(MESSAGES.SET_MEM_TABLE.number, 0, memTable(region, none)), [fd, fd]);
}

export const LEAK_CASES: CheckCase[] = [
  {
    id: "M35a",
    room,
    title: `memory tables that are refused, ${REPEATS} times: nothing of them stays`,
    clause: CLAUSE,
    sockets: 1,
    run: async (bench) => {
      let guest = await bench.negotiated();
      return keepsNothing(bench, async () => {
        await badTable(guest);
        if (guest.link.gone) {
          await bench.close();
          guest = await bench.negotiated();
        }
      });
    },
  },
  {
    id: "M35b",
    room,
    title: `memory tables that are taken, ${REPEATS} times: each replaces the one before`,
    clause: CLAUSE,
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated();
      return keepsNothing(bench, async () => {
        await guest.giveMemory();
        await guest.link.settle();
      });
    },
  },
  {
    id: "M35c",
    room,
    title: `dirty logs, ${REPEATS} times: each replaces the one before`,
    clause: CLAUSE,
    needs: { features: [VHOST_USER_F_PROTOCOL_FEATURES], protocol: [PROTOCOL_F_LOG_SHMFD] },
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.negotiated({ protocol: bits(PROTOCOL_F_LOG_SHMFD) });
      const log = guest.keep(createMemfd("check-log", LOG_BYTES));
      return keepsNothing(bench, async () => {
        await guest.link.say("SET_LOG_BASE", { kind: "log", mmapSize: BigInt(LOG_BYTES), mmapOffset: 0n }, [log]);
        // Its reply is a u64; DPDK's is empty, which front-ends take.
        await guest.link.next("the reply to SET_LOG_BASE");
      });
    },
  },
];
