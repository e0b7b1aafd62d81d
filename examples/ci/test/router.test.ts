// A device of one's own under test: the router between two networks, each a lab of its own, both under one clock. What the
// router calls its ports are guests of the labs, so frames come and go over real rings and everything can go wrong.

import { expect, test } from "vitest";
import { constantRate, createLab, layersOf, type RateOptions, udp, wrongChecksums } from "ringbridge/testing";
import "ringbridge/testing/vitest";
import { Router } from "../src/router.js";

/** client – inside [router] outside – server */
async function twoNetworks(seed = 1) {
  const home = await createLab({ seed, memoryMiB: 32 });
  const away = await createLab({ seed, memoryMiB: 32, site: 1, clock: home.clock });
  const [client, inside] = [await home.guest("client"), await home.guest("inside", { ring: "packed" })];
  const [server, outside] = [await away.guest("server"), await away.guest("outside")];
  const router = new Router(
    new Map([
      [client.ip4, { port: inside, mac: client.mac }],
      [server.ip4, { port: outside, mac: server.mac }],
    ]),
  );
  /** The server, as the client sees it. */
  const farServer = { mac: inside.mac, ip4: server.ip4 };
  return { home, away, client, server, router, farServer };
}

test("a packet arrives with one hop less and a right checksum", async () => {
  const { home, client, server, router, farServer } = await twoNetworks();
  client.send(udp({ from: client, to: farServer, ttl: 64, payload: "over the hill" }));
  await home.settle();
  const [frame] = server.receive();
  expect(frame).toBeDefined();
  expect(frame![layersOf(frame!)!.network + 8]).toBe(63);
  expect(wrongChecksums(frame!)).toEqual([]);
  expect(router.forwarded).toBe(1);
});

test("checksums stay right for every value that they can have", async () => {
  const { home, client, server, farServer } = await twoNetworks();
  const make: RateOptions["make"] = (number) =>
    udp({ from: client, to: farServer, ttl: 2 + (number % 254), identification: (number * 257) & 0xffff, payload: 18 });
  home.traffic(client, constantRate({ to: farServer, perSecond: 100_000, count: 3000, make }));
  await home.run(40);
  expect(server.received).toHaveLength(3000);
  expect(server.received.filter(({ frame }) => wrongChecksums(frame).length > 0)).toEqual([]);
});

test("what cannot be forwarded is dropped and counted", async () => {
  const { home, client, server, router, farServer } = await twoNetworks();
  client.send(udp({ from: client, to: farServer, ttl: 1 }));
  client.send(udp({ from: client, to: { ...farServer, ip4: "192.0.2.1" } }));
  client.send(udp({ from: client, to: { ...farServer, ip6: "fd00::99" }, ip: 6 }));
  await home.settle();
  expect(server.received).toEqual([]);
  expect(router.drops).toEqual({ notIpv4: 1, expired: 1, noRoute: 1, noRoom: 0 });
});

test("while a port of it is away, each packet is somewhere", async () => {
  const { home, away, client, server, router, farServer } = await twoNetworks(3);
  away.inject(
    { kind: "disconnect", guest: "outside", at: 4, for: 3 },
    { kind: "stall", guest: "server", at: 9, for: 2 },
  );
  const flow = home.traffic(client, constantRate({ to: farServer, perSecond: 20_000, count: 300 }));
  await home.run(30);
  await home.settle();
  expect(router.drops.noRoom).toBeGreaterThan(0);
  expect(flow.sent).toBe(router.forwarded + router.drops.noRoom);
  expect(server.received).toHaveLength(router.forwarded);
  expect(home).toConserveFrames();
  expect(away).toConserveFrames();
});
