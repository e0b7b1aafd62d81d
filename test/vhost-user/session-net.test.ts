// The network device's own requests: MTU, configuration space, RARP.

import { describe, expect, test } from "vitest";
import { parseMac } from "../../src/core/mac.js";
import type { Payload } from "../../src/vhost-user/message.js";
import { FakeSwitch, REPLY_ACK_ON } from "./fake-switch.js";
import { kinds, ready, u64 } from "./requests.js";

const MAC = parseMac("52:54:00:12:34:56")!;

function config(offset: number, data: ArrayLike<number>, flags = 0): Payload {
  return { kind: "config", offset, flags, data: Uint8Array.from(data) };
}

/** A session whose port has a MAC address and an MTU. */
function configured(): FakeSwitch {
  const sw = new FakeSwitch({ mac: MAC, mtu: 9000, queuePairs: 4 });
  sw.send("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON | (1n << 9n)));
  return sw;
}

/** The bytes of the configuration space from `offset` on. */
function read(sw: FakeSwitch, offset: number, length: number): number[] {
  const { reply } = sw.send("GET_CONFIG", config(offset, new Uint8Array(length)));
  const view = new DataView(reply!.buffer, reply!.byteOffset);
  expect([view.getUint32(0, true), view.getUint32(4, true)]).toEqual([offset, length]);
  return [...reply!.subarray(12)];
}

describe("NET_SET_MTU", () => {
  test.each([68n, 1500n, 65535n])("F26: %i is accepted and kept over a reset of the device", (mtu) => {
    const sw = ready();
    expect(sw.ack("NET_SET_MTU", u64(mtu))).toBe(0n);
    expect(sw.send("NET_SET_MTU", u64(mtu)).effects).toEqual([{ kind: "setMtu", mtu: Number(mtu) }]);
    sw.send("SET_STATUS", u64(0n));
    expect(sw.state.mtu).toBe(Number(mtu));
  });

  test.each([0n, 67n, 65536n, 1n << 32n, (1n << 64n) - 1n])("F37: %i is refused with the limits", (mtu) => {
    const sw = ready();
    const answer = sw.send("NET_SET_MTU", u64(mtu), [], true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toContain(`${mtu} is no MTU, which is 68 to 65535`);
    expect(sw.state.mtu).toBeNull();
  });
});

describe("SEND_RARP", () => {
  test("F9: the switch is given the address; the two bytes behind it mean nothing", () => {
    const sw = ready();
    const { effects } = sw.send("SEND_RARP", u64(MAC | (0xabcdn << 48n)));
    expect(effects).toEqual([{ kind: "sendRarp", mac: MAC }]);
  });

  test.each([0n, 1n, parseMac("ff:ff:ff:ff:ff:ff")!, parseMac("01:00:5e:00:00:01")!, 0xffffn << 48n])(
    "0x%x is no address of an interface",
    (mac) => {
      const answer = ready().send("SEND_RARP", u64(mac), [], true);
      expect(answer.reply?.[0]).toBe(1);
      expect(kinds(answer.effects)).toEqual(["log"]);
    },
  );

  test("a frame that the switch can not send is the request's failure", () => {
    const sw = ready();
    sw.failing.set("sendRarp", "no room");
    expect(sw.ack("SEND_RARP", u64(MAC))).toBe(1n);
  });
});

describe("GET_CONFIG", () => {
  test("MAC, link up, queue pairs and MTU, in the order of struct virtio_net_config", () => {
    const sw = configured();
    expect(read(sw, 0, 12)).toEqual([0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 4, 0, 0x28, 0x23]);
    expect(read(sw, 10, 2)).toEqual([0x28, 0x23]);
    expect(read(sw, 4, 3)).toEqual([0x34, 0x56, 1]);
  });

  test("the fields that a network device of this kind does not have are 0", () => {
    const sw = configured();
    expect(read(sw, 12, 244)).toEqual(new Array(244).fill(0));
    expect(read(sw, 0, 256).slice(12)).toEqual(new Array(244).fill(0));
  });

  test.each([
    [256, 1],
    [1, 256],
    [0xffff_ffff, 1],
    [0xffff_ff00, 256],
  ])("offset %i and %i bytes reach past it: an empty payload says no", (offset, length) => {
    const answer = configured().send("GET_CONFIG", config(offset, new Uint8Array(length)));
    expect(answer).toMatchObject({ reply: new Uint8Array(0), fault: undefined });
  });

  test("an MTU that the front-end sets is what it reads", () => {
    const sw = configured();
    sw.send("NET_SET_MTU", u64(1400n));
    expect(read(sw, 10, 2)).toEqual([1400 & 0xff, 1400 >> 8]);
  });

  test("it is answered with an empty payload where it is not offered, as QEMU wants it of a network device", () => {
    expect(new FakeSwitch().send("GET_CONFIG", config(0, new Uint8Array(6))).reply).toEqual(new Uint8Array(0));
  });
});

describe("SET_CONFIG", () => {
  test("a driver can write no field", () => {
    const sw = configured();
    const answer = sw.send("SET_CONFIG", config(0, [2, 0, 0, 0, 0, 9]), [], true);
    expect(answer.reply?.[0]).toBe(1);
    expect(read(sw, 0, 6)).toEqual([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
  });

  test("a migration brings the source's MAC and MTU; status and queue pairs are our own", () => {
    const sw = configured();
    const bytes = [2, 0, 0, 0, 0, 9, 0, 0, 77, 0, 0xdc, 5];
    expect(sw.ack("SET_CONFIG", config(0, bytes, 1))).toBe(0n);
    expect(read(sw, 0, 12)).toEqual([2, 0, 0, 0, 0, 9, 1, 0, 4, 0, 0xdc, 5]);
    expect(sw.ack("SET_CONFIG", config(10, [0x28, 0x23], 1))).toBe(0n);
    expect(read(sw, 0, 12)).toEqual([2, 0, 0, 0, 0, 9, 1, 0, 4, 0, 0x28, 0x23]);
  });

  test.each([
    [250, 7],
    [256, 1],
    [0xffff_ffff, 8],
  ])("offset %i and %i bytes are refused", (offset, length) => {
    const sw = configured();
    expect(sw.ack("SET_CONFIG", config(offset, new Uint8Array(length), 1))).toBe(1n);
    expect(sw.state.mac).toBe(MAC);
  });

  test("an MTU that is none is refused", () => {
    const sw = configured();
    expect(sw.ack("SET_CONFIG", config(10, [67, 0], 1))).toBe(1n);
    expect(sw.state.mtu).toBe(9000);
    expect(sw.ack("SET_CONFIG", config(10, [0, 0], 1))).toBe(0n);
    expect(sw.state.mtu).toBeNull();
  });

  test("it is refused where it is not offered", () => {
    expect(ready().ack("SET_CONFIG", config(0, [2, 0, 0, 0, 0, 9], 1))).toBe(1n);
  });
});
