// Frame builders: bytes that others made with the same fields, and checksums that hold.

import { describe, expect, test } from "vitest";
import {
  arpReply,
  arpRequest,
  describeFrame,
  ethernet,
  icmpEcho,
  ip4Bytes,
  ip6Bytes,
  layersOf,
  leaveToDevice,
  macBytes,
  macText,
  type Station,
  tcp,
  udp,
  vlan,
  wrongChecksums,
} from "../../src/testing/index.js";
import { hex } from "../../src/testing/bytes.js";
import { type PacketShape, packet, TCP, UDP } from "../core/support/packets.js";
import { ask, finished } from "../core/support/wire.js";

const a: Station = { mac: "02:00:00:00:00:01", ip4: "10.0.0.1", ip6: "fd00::1" };
const b: Station = { mac: "02:00:00:00:00:02", ip4: "10.0.0.2", ip6: "fd00::2" };

test("addresses", () => {
  expect([...macBytes("02:0a:FF:00:00:01")]).toEqual([2, 10, 255, 0, 0, 1]);
  expect(macText(macBytes(a.mac))).toBe(a.mac);
  expect([...ip4Bytes("192.168.0.254")]).toEqual([192, 168, 0, 254]);
  expect(hex(ip6Bytes("2001:db8::1:2"))).toBe("20010db8000000000000000000010002");
  expect(hex(ip6Bytes("::"))).toBe("0".repeat(32));
  expect(hex(ip6Bytes("1:2:3:4:5:6:7:8"))).toBe("00010002000300040005000600070008");
  for (const bad of ["", "1.2.3", "1.2.3.256", "a.b.c.d"]) expect(() => ip4Bytes(bad)).toThrow("no IPv4 address");
  for (const bad of ["", "1::2::3", "1:2:3", "g::", "1:2:3:4:5:6:7::8"]) {
    expect(() => ip6Bytes(bad)).toThrow("no IPv6 address");
  }
  expect(() => macBytes("02:00")).toThrow("no MAC address");
});

test("known bytes", () => {
  expect(hex(ethernet({ from: a, to: "broadcast", payload: "hi" }))).toBe("ffffffffffff02000000000188b56869");
  expect(hex(arpRequest({ from: a, to: b }))).toBe(
    "ffffffffffff0200000000010806" + "0001080006040001" + "0200000000010a000001" + "0000000000000a000002",
  );
  expect(hex(arpReply({ from: b, to: a }))).toBe(
    "0200000000010200000000020806" + "0001080006040002" + "0200000000020a000002" + "0200000000010a000001",
  );
  // The example of RFC 1071's words in many textbooks: header 4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7, here
  // without "don't fragment", so that its checksum is f861.
  const frame = udp({ from: { ...a, ip4: "192.168.0.1" }, to: { ...b, ip4: "192.168.0.199" }, payload: 0x73 - 28 });
  expect(hex(frame.subarray(14, 34))).toBe("45000073000000004011f861c0a80001c0a800c7");
});

describe.each([4, 6] as const)("IPv%i", (ip) => {
  test.each([0, 1, 17, 1472])("right checksums with %i bytes of payload, with tags and without", (payload) => {
    for (const tags of [[], [5], [{ id: 7, tpid: 0x88a8, priority: 3 }, 9]]) {
      for (const frame of [
        udp({ from: a, to: b, ip, payload, tags }),
        tcp({ from: a, to: b, ip, payload, tags, flags: ["psh", "ack"] }),
        icmpEcho({ from: a, to: b, ip, payload, tags }),
        icmpEcho({ from: a, to: b, ip, payload, tags, reply: true }),
      ]) {
        expect(wrongChecksums(frame)).toEqual([]);
        const { transport, end } = layersOf(frame)!;
        expect(end).toBe(frame.length);
        const spoilt = frame.slice();
        spoilt[transport]! ^= 1;
        expect(wrongChecksums(spoilt)).toHaveLength(1);
      }
    }
  });

  test("what is left to the device is what the tests of the core ask for", () => {
    for (const protocol of [TCP, UDP] as const) {
      const shape: PacketShape = { to: 2, from: 1, version: ip, protocol, payload: 4000 };
      const open = packet(shape);
      const whole = finished(open, ask(open));
      expect(wrongChecksums(whole)).toEqual([]);
      const { frame, header } = leaveToDevice(whole, 1000);
      expect(frame).toEqual(open);
      const type = protocol === UDP ? 5 : ip === 4 ? 1 : 4;
      const asked = ask(open, type, 1000);
      const view = new DataView(header.buffer);
      expect([view.getUint8(0), view.getUint8(1), view.getUint16(2, true), view.getUint16(4, true)]).toEqual([
        ...[asked.flags, asked.gsoType, asked.headerLength, asked.gsoSize],
      ]);
      expect([view.getUint16(6, true), view.getUint16(8, true)]).toEqual([asked.checksumStart, asked.checksumOffset]);
    }
    expect(() => leaveToDevice(icmpEcho({ from: a, to: b, ip }))).toThrow("only TCP and UDP");
  });
});

test("a wrong IPv4 header checksum has its name", () => {
  const frame = udp({ from: a, to: b });
  frame[22]!--;
  expect(wrongChecksums(frame)).toEqual(["IPv4 header"]);
});

test("a tag can be put into any frame", () => {
  const tagged = vlan(arpRequest({ from: a, to: b }), { id: 100, priority: 7 });
  expect(hex(tagged.subarray(12, 18))).toBe("8100e0640806");
  expect(vlan(udp({ from: a, to: b }), 5)).toEqual(udp({ from: a, to: b, tags: [5] }));
  expect(() => vlan(tagged, 4096)).toThrow("no VLAN tag");
});

test("a frame in one line", () => {
  expect(describeFrame(udp({ from: a, to: b, payload: 18 }))).toBe(
    "02:00:00:00:00:01 > 02:00:00:00:00:02, UDP over IPv4, 40000 > 9, 60 bytes",
  );
  expect(describeFrame(ethernet({ from: a, to: b }))).toBe(
    "02:00:00:00:00:01 > 02:00:00:00:00:02, type 0x88b5, 14 bytes",
  );
  expect(describeFrame(icmpEcho({ from: a, to: b, ip: 6 }))).toContain("ICMPv6 over IPv6, 62 bytes");
  expect(describeFrame(new Uint8Array(3))).toBe("3 bytes, no Ethernet header");
});
