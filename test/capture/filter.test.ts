// Filter expressions, and the one-line summaries, against frames of the lab's builders.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ipBytes, ipText } from "../../src/capture/address.js";
import { FilterError, parseFilter } from "../../src/capture/filter.js";
import { type Captured, readPacket } from "../../src/capture/packet.js";
import { summary } from "../../src/capture/summary.js";
import { arpReply, arpRequest, ethernet, icmpEcho, tcp, udp, vlan } from "../../src/testing/index.js";

const a = { mac: "52:54:00:00:00:01", ip4: "10.0.0.1", ip6: "fd00::1" };
const b = { mac: "52:54:00:00:00:02", ip4: "10.0.1.2", ip6: "fd00:0:1::2" };
const FRAMES: Record<string, Uint8Array> = {
  arp: arpRequest({ from: a, to: b }),
  reply: arpReply({ from: b, to: a }),
  udp: udp({ from: a, to: b, payload: 18 }),
  udp6: udp({ from: a, to: b, ip: 6, destinationPort: 53, payload: 3 }),
  tcp: tcp({ from: b, to: a, sourcePort: 80, destinationPort: 5050, flags: ["syn", "ack"] }),
  tcp6: tcp({ from: b, to: a, ip: 6, sourcePort: 443, payload: 10 }),
  ping: icmpEcho({ from: a, to: b, payload: 8 }),
  ping6: icmpEcho({ from: b, to: a, ip: 6, reply: true }),
  tagged: vlan(tcp({ from: a, to: b, destinationPort: 80 }), 100),
  twice: vlan(vlan(udp({ from: a, to: b, payload: 2 }), 7), { id: 100, tpid: 0x88a8 }),
  lldp: ethernet({ from: a, to: "broadcast", type: 0x88cc, payload: 400 }),
};
const captured = (bytes: Uint8Array, more: Partial<Captured> = {}) =>
  readPacket({ bytes, length: bytes.length, ...more });
const matching = (expression: string) => {
  const filter = parseFilter(expression);
  return Object.keys(FRAMES).filter((name) => filter(captured(FRAMES[name]!)));
};

test.each([
  ["", Object.keys(FRAMES)],
  ["arp", ["arp", "reply"]],
  ["ip", ["udp", "tcp", "ping", "tagged", "twice"]],
  ["ip6", ["udp6", "tcp6", "ping6"]],
  ["tcp", ["tcp", "tcp6", "tagged"]],
  ["udp", ["udp", "udp6", "twice"]],
  ["icmp", ["ping"]],
  ["icmp6", ["ping6"]],
  ["proto 58", ["ping6"]],
  ["port 80", ["tcp", "tagged"]],
  ["src port 80", ["tcp"]],
  ["tcp dst port 80", ["tagged"]],
  ["portrange 50-100", ["udp6", "tcp", "tagged"]],
  ["udp port 80", []],
  ["host 10.0.0.1", ["arp", "reply", "udp", "tcp", "ping", "tagged", "twice"]],
  ["src host 10.0.0.1 and not arp", ["udp", "ping", "tagged", "twice"]],
  ["arp host 10.0.1.2", ["arp", "reply"]],
  ["dst host fd00:0:1::2", ["udp6"]],
  ["src net 10.0.1.0/24", ["reply", "tcp"]],
  ["net 10.0.1.0/23 and arp", ["arp", "reply"]],
  ["ip6 net fd00::/47", ["udp6", "tcp6", "ping6"]],
  ["src net fd00:0:1::/48", ["tcp6", "ping6"]],
  ["net 0.0.0.0/0", ["arp", "reply", "udp", "tcp", "ping", "tagged", "twice"]],
  ["vlan", ["tagged", "twice"]],
  ["vlan 100", ["tagged", "twice"]],
  ["vlan 7 and udp", ["twice"]],
  ["ether src 52:54:00:00:00:02", ["reply", "tcp", "tcp6", "ping6"]],
  ["ether host 52:54:0:0:0:2 and broadcast", []],
  ["ether proto 0x88cc", ["lldp"]],
  ["broadcast", ["arp", "lldp"]],
  ["multicast and greater 100", ["lldp"]],
  ["less 50", ["arp", "reply", "udp", "ping", "twice"].filter((name) => FRAMES[name]!.length <= 50)],
  ["arp or icmp and host 10.9.9.9", ["arp", "reply"]],
  ["(arp or icmp) and src host 10.0.0.1", ["arp", "ping"]],
  ["not (ip || ip6 || arp)", ["lldp"]],
  ["!!arp && !broadcast", ["reply"]],
])("%s", (expression, names) => {
  expect(matching(expression)).toEqual(names);
});

test("direction and drops are the capture's to say", () => {
  const frame = FRAMES.udp!;
  for (const [expression, more] of [
    ["inbound", { direction: "in" }],
    ["outbound", { direction: "out" }],
    ["dropped", { comment: "dropped: hairpin" }],
  ] as const) {
    expect(parseFilter(expression)(captured(frame, more))).toBe(true);
    expect(parseFilter(expression)(captured(frame))).toBe(false);
  }
});

test.each([
  ["tpc port 80", 'filter, column 1: "tpc" is no word of filters'],
  ["arp and", "filter, column 8: a word such as"],
  ["(arp or ip", 'filter, column 11: ")" is missing, to close the "(" of column 1'],
  ["arp ip", 'filter, column 5: "and", "or" or the end must come here, not "ip"'],
  ["host 10.0.0.256", 'filter, column 6: "10.0.0.256" is no IP address'],
  ["host example.org", "names are not looked up"],
  ["net 10.0.0.0", 'filter, column 5: "10.0.0.0" is no network'],
  ["net 10.0.0.0/33", "is no network"],
  ["port 65536", 'filter, column 6: "65536" is not a port number (0 to 65535)'],
  ["port http", "is not a port number"],
  ["portrange 9-3", "is no range of ports"],
  ["src 10.0.0.1", 'filter, column 5: "10.0.0.1" is no word of filters'],
  ["ether 1:2:3", 'filter, column 7: "src", "dst", "host" or "proto" must come here'],
  ["ether src 1:2:3", "is no MAC address"],
  ["vlan 4096", 'filter, column 6: "4096" is not a VLAN identifier'],
  ["a & b", "is no word"],
  ["constructor", "is no word"],
  ["arp )", 'not ")"'],
  [`${"(".repeat(500)}arp`, "more than 100 levels"],
  ["arp or ".repeat(600), "more than 1000 words"],
])("%s is refused with its column", (expression, message) => {
  expect(() => parseFilter(expression)).toThrow(FilterError);
  expect(() => parseFilter(expression)).toThrow(message);
});

test.each([
  ["arp", "ARP, request who-has 10.0.1.2 tell 10.0.0.1, length 42"],
  ["reply", "ARP, reply 10.0.1.2 is-at 52:54:00:00:00:02, length 42"],
  ["udp", "IP 10.0.0.1.40000 > 10.0.1.2.9: UDP, length 18"],
  ["udp6", "IP6 fd00::1.40000 > fd00:0:1::2.53: UDP, length 3"],
  ["tcp", "IP 10.0.1.2.80 > 10.0.0.1.5050: Flags [S.], seq 1, ack 1, win 65535, length 0"],
  ["tcp6", "IP6 fd00:0:1::2.443 > fd00::1.9: Flags [.], seq 1:11, ack 1, win 65535, length 10"],
  ["ping", "IP 10.0.0.1 > 10.0.1.2: ICMP echo request, id 1, seq 1, length 16"],
  ["ping6", "IP6 fd00:0:1::2 > fd00::1: ICMP6 echo reply, id 1, seq 1, length 8"],
  ["twice", "vlan 100, vlan 7, IP 10.0.0.1.40000 > 10.0.1.2.9: UDP, length 2"],
  ["lldp", "52:54:00:00:00:01 > ff:ff:ff:ff:ff:ff, ethertype 0x88cc, length 414"],
])("summary of %s", (name, text) => {
  expect(summary(captured(FRAMES[name]!))).toBe(text);
});

describe("frames that are cut or make no sense", () => {
  test("what was cut is said", () => {
    const bytes = FRAMES.udp!.subarray(0, 38);
    const text = summary(readPacket({ bytes, length: 60, comment: "dropped: hairpin\x1b[2J" }));
    expect(text).toBe("IP 10.0.0.1.40000 > 10.0.1.2.9: UDP, length 18 [cut to 38 of 60 bytes] [dropped: hairpin?[2J]");
  });

  test("any bytes at all have a summary of printable text, and no filter fails on them", () => {
    const filters = ["host 10.0.0.1 or net fd00::/8", "tcp port 1", "vlan 3 or arp", "ether host 1:2:3:4:5:6"].map(
      parseFilter,
    );
    const frames = Object.values(FRAMES);
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc
        .record({ frame: fc.constantFrom(...frames), length: fc.nat(120), at: fc.nat(80), value: fc.nat(255) })
        .map(({ frame, length, at, value }) => {
          const cut = frame.slice(0, length);
          if (at < cut.length) cut[at] = value;
          return cut;
        }),
    );
    fc.assert(
      fc.property(bytes, (frame) => {
        const packet = captured(frame);
        expect(summary(packet)).toMatch(/^[ -~]+$/);
        for (const filter of filters) filter(packet);
      }),
      { numRuns: 2000 },
    );
  });

  test("addresses are read and written alike", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })),
        (bytes) => {
          expect(ipBytes(ipText(bytes))).toEqual(bytes);
        },
      ),
    );
    expect(ipText(ipBytes("::ffff:10.0.0.1")!)).toBe("::ffff:a00:1");
    for (const bad of ["", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::g", "::1.2.3", "1.2.3"]) {
      expect(ipBytes(bad)).toBeUndefined();
    }
  });
});
