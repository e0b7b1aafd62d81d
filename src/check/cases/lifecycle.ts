// Front-ends that come, go, start again and are reset.

import { closeSync, openSync } from "node:fs";
import { VHOST_USER_F_PROTOCOL_FEATURES, VIRTIO_F_VERSION_1 } from "../../../assembly/spec/virtio.js";
import { bits } from "../../core/feature-bits.js";
import { PROTOCOL_F_DEVICE_STATE, PROTOCOL_F_RESET_DEVICE, PROTOCOL_F_STATUS } from "../../vhost-user/features.js";
import type { CheckCase, Workbench } from "../case.js";
import { frame } from "../frames.js";
import type { CheckGuest } from "../guest.js";
import { OUTCOME_WORDS } from "../link.js";
import { u64 } from "../payloads.js";
import { demand, Skip } from "../verdict.js";
import { within } from "../wait.js";

const room = "lifecycle";
const LENGTHS = [60, 300, 1514];
/** Of the device status (virtio 1.3, 2.1): ACKNOWLEDGE and DRIVER, and what follows. */
const DRIVER = 3n;
const FEATURES_OK = 8n;
const DRIVER_OK = 4n;

/** The first guest's rings as new, on the same connection; then frames both ways. */
async function begin(bench: Workbench, a: CheckGuest, b: CheckGuest): Promise<void> {
  for (const ring of a.rings) ring.renew(a.features);
  await a.startRings();
  await talk(bench, a, b);
}

async function talk(bench: Workbench, a: CheckGuest, b: CheckGuest): Promise<void> {
  await bench.open(b, a);
  await bench.open(a, b);
  await bench.passAll(a, b, LENGTHS);
}

export const LIFECYCLE_CASES: CheckCase[] = [
  {
    id: "F3",
    room,
    title: "a front-end that leaves and comes back sets everything up again, 3 times",
    clause: "QEMU's reconnect test; nothing of the old connection is left",
    sockets: 2,
    run: async (bench) => {
      for (let round = 0; round < 3; round++) {
        const [a, b] = await bench.pair();
        await bench.passAll(a, b, LENGTHS);
        await bench.close();
      }
    },
  },
  {
    id: "L1",
    room,
    title: "a front-end that is killed while frames flow does not disturb the other",
    clause: "robustness: guests are killed",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      for (let i = 0; i < 20; i++) {
        a.send(frame(1, 2, 1000, i));
        b.send(frame(2, 1, 1000, i));
      }
      a.link.close();
      for (let i = 0; i < 20; i++) b.send(frame(2, 1, 1000, i));
      await bench.quiet();
      await b.link.settle();
      const next = await bench.started(0);
      b.receive();
      await bench.open(b, next);
      await bench.open(next, b);
      await bench.passAll(next, b, LENGTHS);
    },
  },
  {
    id: "L2",
    room,
    title: "what a front-end gave is let go when it leaves: memory and descriptors",
    clause: "robustness: a back-end outlives its guests; /proc tells",
    sockets: 1,
    run: async (bench) => {
      if (bench.sockets.once) throw new Skip("its process ends with the connection");
      const once = async () => {
        const guest = await bench.started();
        guest.link.close();
        await bench.quiet();
        await bench.close();
      };
      await once();
      const before = bench.sockets.descriptors();
      for (let i = 0; i < 10; i++) await once();
      if (before === undefined) return "the process's descriptors cannot be seen from here";
      const more = () => (bench.sockets.descriptors() ?? before) - before;
      await within(bench.timeoutMs, () => more() <= 4 || undefined);
      demand(more() <= 4, `${more()} more descriptors are open after 10 guests`);
      return `${more()} more descriptors after 10 guests`;
    },
  },
  {
    id: "M38",
    room,
    title: "a guest that reboots 10 times: rings stopped, and started at the beginning",
    clause: "vhost-user, Ring states; VPP-526",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      for (let i = 0; i < 10; i++) {
        for (const ring of a.rings) await a.stop(ring);
        await begin(bench, a, b);
      }
    },
  },
  {
    id: "F43",
    room,
    title: "firmware, then an operating system: legacy first, then modern, on one connection",
    clause: "virtio 1.3, 2.4: a reset forgets the features; the header's size changes from 10 to 12",
    needs: { features: [VIRTIO_F_VERSION_1] },
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({ features: 0n }, {});
      await bench.passAll(a, b, LENGTHS);
      for (const ring of a.rings) await a.stop(ring);
      a.features |= bits(VIRTIO_F_VERSION_1);
      await a.link.done("SET_FEATURES", u64(a.features));
      await begin(bench, a, b);
    },
  },
  ...(
    [
      ["F11c", "RESET_DEVICE", PROTOCOL_F_RESET_DEVICE],
      ["L3", "SET_STATUS of 0", PROTOCOL_F_STATUS],
    ] as const
  ).map(
    ([id, title, bit]): CheckCase => ({
      id,
      room,
      title: `${title}, then everything anew on the same connection`,
      clause: "vhost-user, RESET_DEVICE and SET_STATUS: back to the initial state",
      needs: { features: [VHOST_USER_F_PROTOCOL_FEATURES], protocol: [bit] },
      sockets: 2,
      run: async (bench) => {
        const withStatus = bit === PROTOCOL_F_STATUS;
        const status = async (value: bigint) => {
          if (withStatus) await a.link.done("SET_STATUS", u64(value));
        };
        const start = async () => {
          await status(DRIVER);
          await a.link.done("SET_FEATURES", u64(a.features));
          await status(DRIVER | FEATURES_OK);
          await a.giveMemory();
          for (const ring of a.rings) ring.renew(a.features);
          await a.startRings();
          await status(DRIVER | FEATURES_OK | DRIVER_OK);
        };
        const b = await bench.started(1);
        const a = await bench.negotiated({ protocol: bits(bit) });
        await start();
        await talk(bench, a, b);
        for (const ring of a.rings) await a.stop(ring);
        if (withStatus) await status(0n);
        else await a.link.done("RESET_DEVICE");
        await start();
        await talk(bench, a, b);
      },
    }),
  ),
  {
    id: "L4",
    room,
    title: "RESET_OWNER does no harm",
    clause: "vhost-user, RESET_OWNER: no longer used; ignored, or disables all rings",
    sockets: 1,
    run: async (bench) => {
      const guest = await bench.started();
      return OUTCOME_WORDS[await guest.link.outcome("RESET_OWNER")];
    },
  },
  {
    id: "M53",
    room,
    title: "a device state that is to be written into a folder",
    clause: "vhost-user, Migrating back-end state; robustness",
    needs: { features: [VHOST_USER_F_PROTOCOL_FEATURES], protocol: [PROTOCOL_F_DEVICE_STATE] },
    sockets: 1,
    run: async (bench) => {
      const { link } = await bench.negotiated({ protocol: bits(PROTOCOL_F_DEVICE_STATE) });
      const folder = openSync("/", "r");
      try {
        await link.say("SET_DEVICE_STATE_FD", { kind: "deviceState", direction: 0, phase: 0 }, [folder]);
        const taken = await link.reply("SET_DEVICE_STATE_FD");
        if (taken.kind === "u64" && (taken.value & 0xffn) !== 0n) return "it was refused";
        await bench.quiet();
        const verdict = await link.number("CHECK_DEVICE_STATE");
        demand(verdict !== 0n, "CHECK_DEVICE_STATE says that it worked");
        return "CHECK_DEVICE_STATE says that it failed";
      } finally {
        closeSync(folder);
      }
    },
  },
];
