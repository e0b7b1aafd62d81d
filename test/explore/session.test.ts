// The lesson's vhost-user session: QEMU's and virtio-user's messages to the switch's own session, one by one.

import { expect, test } from "vitest";
import { type Exchange, SessionSteps, type SessionOptions } from "../../src/explore/machine/session/index.js";

const OPTIONS: SessionOptions = { frontEnd: "qemu", ring: "split", size: 256, mistake: "none" };

function play(session: SessionSteps, until = (_: Exchange) => false): Exchange[] {
  for (let one = session.step(); one; one = session.step()) if (until(one)) break;
  return session.exchanges;
}

test.each([
  { frontEnd: "qemu", ring: "split", memory: "ADD_MEM_REG" },
  { frontEnd: "dpdk", ring: "packed", memory: "SET_MEM_TABLE" },
] as const)("$frontEnd gives memory and $ring rings, and both become offsets", ({ frontEnd, ring, memory }) => {
  const session = new SessionSteps({ ...OPTIONS, frontEnd, ring });
  let running = 0;
  const exchanges = play(session, () => {
    const { rings } = session.view();
    running = Math.max(running, rings.filter((one) => one.running).length);
    return running === 2;
  });
  expect(running).toBe(2);
  expect(exchanges.filter(({ refused }) => refused)).toEqual([]);
  const mapped = exchanges.filter(({ name }) => name === memory).flatMap(({ effects }) => effects);
  expect(mapped.filter((text) => text.startsWith("maps 2048 KiB of descriptor 2")).length).toBe(2);
  const { regions, rings, features } = session.view();
  expect(regions.map(({ guestAddress }) => guestAddress)).toEqual([0n, 0x1_0000_0000n]);
  for (const { parts } of rings) {
    for (const { userAddress, guestAddress, offset } of parts) {
      const region = regions[1]!;
      expect(userAddress - region.userAddress).toBe(guestAddress! - region.guestAddress);
      expect(BigInt(offset! - region.window)).toBe(guestAddress! - region.guestAddress);
    }
  }
  expect(features).toContain("VERSION_1");
  expect(features.includes("RING_PACKED")).toBe(ring === "packed");
  // To the end: rings stop.
  play(session);
  expect(session.view().rings.some((one) => one.running)).toBe(false);
  expect(session.nextName).toBeUndefined();
});

test("the fields of each message cover all its bytes, and the same number of messages is the same moment", () => {
  const session = new SessionSteps(OPTIONS);
  for (const { fields, bytes, reply } of play(session)) {
    for (const [all, whole] of [[fields, bytes], ...(reply ? [[reply.fields, reply.bytes] as const] : [])] as const) {
      let at = 0;
      for (const { offset, length } of all) {
        expect(offset).toBe(at);
        at += length;
      }
      expect(at).toBe(whole.length);
    }
  }
  const half = session.at(12);
  expect(half.exchanges).toEqual(session.exchanges.slice(0, 12));
  expect(half.view().features).not.toBe("");
});

test.each([
  { mistake: "no-descriptor", refused: "descriptor", closed: false },
  { mistake: "overlap", refused: "overlaps the one at 0x0 in guest addresses", closed: false },
  { mistake: "ring-outside", refused: "lies in no memory region", closed: false },
  { mistake: "misaligned", refused: "is not aligned to 16 bytes", closed: false },
  { mistake: "short", refused: "ADD_MEM_REG (37) is malformed", closed: true },
] as const)("a front-end's mistake ($mistake) is refused", ({ mistake, refused, closed }) => {
  const session = new SessionSteps({ ...OPTIONS, mistake });
  const last = play(session, (one) => one.refused !== undefined).at(-1)!;
  expect(last.refused).toContain(refused);
  expect(last.closed).toBe(closed);
  const { regions, rings } = session.view();
  expect(rings.some(({ index, running }) => index === 1 && running)).toBe(false);
  if (mistake !== "ring-outside" && mistake !== "misaligned") expect(regions.length).toBeLessThan(2);
});
