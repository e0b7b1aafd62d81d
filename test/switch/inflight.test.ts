// The inflight area with a real switch: it comes out of one that is killed, and goes into its successor.

import { fstatSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { inflightBytes } from "../../src/core/inflight.js";
import { closeFd, createMemfd } from "../../src/sys/memfd.js";
import type { Fd } from "../../src/vhost-user/effects.js";
import type { Payload } from "../../src/vhost-user/message.js";
import { describeLinux, useDescriptors } from "../sys/linux.js";
import { HandGuest, handFrame, pass } from "./support/hand-guest.js";
import { vring } from "../vhost-user/requests.js";
import { numberOf } from "../core/support/frames.js";
import { Lab, until } from "./support/lab.js";
import { RawSocket } from "./support/raw-socket.js";

const SIZE = 64;
const BYTES = 2 * inflightBytes(SIZE, false);
const SHAPE = { kind: "inflight", mmapOffset: 0n, queues: 2, queueSize: SIZE, padded: true } as const;
const AREA: Payload = { ...SHAPE, mmapSize: BigInt(BYTES) };

describeLinux("the inflight area", () => {
  const { own } = useDescriptors();
  const leftovers: { close(): void | Promise<void> }[] = [];
  afterEach(async () => {
    for (const it of leftovers.splice(0).reverse()) await it.close();
  });
  const later = <T extends { close(): void | Promise<void> }>(it: T): T => {
    leftovers.push(it);
    return it;
  };

  test("comes with the reply to GET_INFLIGHT_FD, zeroed and as large as it says, and the switch keeps nothing", async () => {
    const lab = later(new Lab());
    await lab.start(["vm1=listen"]);
    const raw = later(new RawSocket(lab.file("vm1")));
    await raw.ask("GET_FEATURES");
    const before = lab.descriptors();
    for (let i = 0; i < 20; i++) {
      const { payload, fds } = await raw.ask("GET_INFLIGHT_FD", { ...SHAPE, mmapSize: 0n });
      expect(new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true)).toBe(BigInt(BYTES));
      expect(fds).toHaveLength(1);
      expect(fstatSync(fds[0]!).size).toBe(BYTES);
      closeFd(fds[0]!);
    }
    await lab.noMoreDescriptors(before);
    const none = await raw.ask("GET_INFLIGHT_FD", { ...SHAPE, mmapSize: 0n, queueSize: 0 });
    expect(none.fds).toEqual([]);
  });

  test.each([
    ["before they start, as QEMU does it", true],
    ["after they have started, as cloud-hypervisor does it", false],
  ])(
    "a switch is killed again and again, rings are enabled %s: no frame that was made available is lost, whatever base it is told",
    async (_, first) => {
      const lab = later(new Lab());
      const [a, b] = [later(new HandGuest({ size: SIZE })), later(new HandGuest({ size: SIZE }))];
      const areas = [a, b].map(() => own(createMemfd("area", BYTES)));
      const attach = async (guest: HandGuest, name: string, area: Fd) => {
        guest.connect(lab.file(name));
        await guest.negotiate();
        await guest.giveMemory();
        await guest.expectDone("SET_INFLIGHT_FD", AREA, [area]);
        const enable = async () => {
          for (const { index } of guest.rings) await guest.expectDone("SET_VRING_ENABLE", vring(index, 1));
        };
        if (first) await enable();
        // As a front-end does that knows only what its guest has made available.
        for (const ring of guest.rings) await guest.setUp(ring, { base: ring.driver.availIndex });
        if (!first) await enable();
      };
      const connect = async () => {
        await attach(b, "b", areas[1]!);
        await attach(a, "a", areas[0]!);
      };
      await lab.start(["a=listen", "b=listen"]);
      await connect();
      for (const guest of [a, b]) guest.rings[0]!.offer(guest.rings[0]!.buffers);
      // Both are known, so that nothing is flooded.
      await pass(a, b, 1);
      await pass(b, a, 2);
      let number = 100;
      for (let round = 0; round < 2; round++) {
        await lab.stop("SIGKILL");
        for (const guest of [a, b]) guest.leave();
        const waiting = [0, 1, 2, 3, 4].map(() => number++);
        for (const n of waiting) expect(a.send(handFrame(b.number, a.number, 60, n))).toBe(true);
        await lab.start(["a=listen", "b=listen"]);
        await connect();
        const got: number[] = [];
        await until("the frames that waited", () => {
          for (const frame of b.receive()) if (frame.length === 60) got.push(numberOf(frame));
          return waiting.every((n) => got.includes(n)) || undefined;
        });
        expect(got).toEqual(waiting);
        // And both ways go on: also receive buffers that had been made available were not lost.
        for (let i = 0; i < SIZE + 4; i++) {
          await pass(a, b, number++);
          await pass(b, a, number++);
        }
      }
    },
  );
});
