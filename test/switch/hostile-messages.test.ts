// Front-ends that stutter, fall silent, flood, talk rubbish, or set things up in an order of their own (cases M41, M42).

import { expect, test } from "vitest";
import { encodeMessage, FLAG_NEED_REPLY, MESSAGES, type MessageName } from "../../src/vhost-user/message.js";
import { concat } from "../core/support/frames.js";
import { describeLinux } from "../sys/linux.js";
import { u64, vring, vringFd } from "../vhost-user/requests.js";
import { type HandGuest, type HandRing, pass } from "./support/hand-guest.js";
import { RawSocket } from "./support/raw-socket.js";
import { expectGoodGuests } from "./support/traffic.js";
import { useLab } from "./support/use-lab.js";

const GET_FEATURES = question("GET_FEATURES");

describeLinux("a socket used badly", () => {
  const group = useLab();

  test("one byte at a time makes whole messages", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const guest = group.hand();
    guest.fresh();
    const raw = group.later(new RawSocket(lab.file(vm1)));
    for (const { name, payload, fds } of guest.script()) {
      const bytes = encodeMessage(MESSAGES[name].number, 0, payload);
      for (let i = 0; i < bytes.length; i++) {
        // The descriptors travel with the first byte.
        await raw.write(bytes.subarray(i, i + 1), i === 0 ? fds : []);
        if (i % 8 === 0) await new Promise(setImmediate);
      }
      if (MESSAGES[name].reply !== "ack") expect((await raw.reply()).request).toBe(MESSAGES[name].number);
    }
    await lab.when(vm1, ({ state, queues }) => state === "running" && queues.length === 2);
    const other = group.hand();
    await other.start(lab.file(vm2));
    for (let i = 0; i < 5; i++) await pass(guest, other, i);
  });

  test("half a message and then silence stops nobody, and the rest is still taken", async () => {
    const { lab, steady } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    for (const length of [1, 11, 12, 15]) {
      const raw = group.later(new RawSocket(lab.file(vm1)));
      const message = encodeMessage(MESSAGES.SET_OWNER.number, 0, { kind: "none" });
      await raw.write(concat([message, question("SET_FEATURES", 8).subarray(0, length)]));
      await lab.when(vm1, ({ state }) => state === "connected");
      await steady.more(300);
      await raw.write(concat([question("SET_FEATURES", 8).subarray(length), GET_FEATURES]));
      expect((await raw.reply()).request).toBe(MESSAGES.GET_FEATURES.number);
      raw.close();
      await lab.vacant(vm1);
    }
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("20000 questions without a pause are all answered in order", async () => {
    const { lab, steady } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const raw = group.later(new RawSocket(lab.file(vm1)));
    const names: MessageName[] = ["GET_FEATURES", "GET_QUEUE_NUM", "GET_PROTOCOL_FEATURES", "GET_STATUS"];
    const four = concat(names.map((name) => question(name)));
    const sent = steady.arrived;
    const writing = (async () => {
      for (let i = 0; i < 50; i++) await raw.write(concat(new Array<Uint8Array>(100).fill(four)));
    })();
    for (let i = 0; i < 20_000; i++) {
      const { request } = await raw.reply();
      if (request !== MESSAGES[names[i % 4]!].number) throw new Error(`answer ${i} is to request ${request}`);
    }
    await writing;
    expect(steady.arrived).toBeGreaterThan(sent);
    raw.close();
    await lab.vacant(vm1);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("who asks and asks without listening is not read on, and gets every answer once it listens", async () => {
    const { lab, steady } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const raw = group.later(new RawSocket(lab.file(vm1)));
    const asked = await fill(raw);
    expect(asked).toBeLessThan(LIMIT_BYTES);
    // Nothing more is taken, however long the front-end waits.
    await steady.more(500);
    expect(raw.some(GET_FEATURES)).toBe(0);
    const cut = raw.sentBytes % GET_FEATURES.length;
    const questions = (raw.sentBytes - cut) / GET_FEATURES.length + 1;
    const rest = raw.write(GET_FEATURES.subarray(cut));
    for (let i = 0; i < questions; i++) expect((await raw.reply()).request).toBe(MESSAGES.GET_FEATURES.number);
    await rest;
    raw.close();
    await lab.vacant(vm1);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("who leaves while answers wait for it leaves nothing behind", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const before = lab.descriptors();
    for (let i = 0; i < 5; i++) {
      const raw = group.later(new RawSocket(lab.file(vm1)));
      await fill(raw);
      raw.close();
      await lab.vacant(vm1);
    }
    await lab.noMoreDescriptors(before);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  const RUBBISH: [string, Uint8Array, RegExp][] = [
    ["zeros", new Uint8Array(64), /^connection closed: request 0 has protocol version 0, only version 1 exists$/],
    ["ones", new Uint8Array(64).fill(255), /^connection closed: request 4294967295 has protocol version 3/],
    ["HTTP", new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"), /^connection closed: request 542393671 /],
    ["a reply", header(1, 5, 8), /GET_FEATURES \(1\) is marked as a reply, a front-end sends requests on this socket$/],
    ["unknown flags", header(1, 0x11, 0), /GET_FEATURES \(1\) has unknown header flags 0x11$/],
    [
      "4 GiB of payload",
      header(2, 1, 0xffffffff),
      /SET_FEATURES \(2\) announces 4294967295 bytes of payload, at most 4096/,
    ],
    [
      "a payload that is too short",
      header(2, 1, 4, 4),
      /SET_FEATURES \(2\) is malformed: its payload has 4 bytes where 8/,
    ],
  ];

  test.each(RUBBISH)("%s ends this connection and no other", async (_, bytes, error) => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const raw = group.later(new RawSocket(lab.file(vm1)));
    await raw.write(bytes);
    await raw.closed();
    expect((await lab.vacant(vm1)).lastError).toMatch(error);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("requests that the specification does not have are refused, one by one", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const guest = group.hand();
    guest.connect(lab.file(vm1));
    await guest.negotiate();
    for (const request of [0, 46, 4711, 0x7fffffff]) {
      guest.raw(encodeMessage(request, 0, u64(1n)));
      await lab.error(vm1, new RegExp(`^request ${request} is not supported$`));
    }
    guest.leave();
    await expectGoodGuests(lab, [vm1, vm2]);
  });
});

describeLinux("an order of one's own", () => {
  const group = useLab();

  type Step = (guest: HandGuest, ring: HandRing) => Promise<void>;
  const STEPS: Record<string, Step> = {
    addr: (guest, ring) => guest.expectDone("SET_VRING_ADDR", guest.vringAddr(ring)),
    num: (guest, { index, size }) => guest.expectDone("SET_VRING_NUM", vring(index, size)),
    base: (guest, { index }) => guest.expectDone("SET_VRING_BASE", vring(index, 0)),
    kick: (guest, { index, kick }) => guest.expectDone("SET_VRING_KICK", vringFd(index), [kick]),
    call: (guest, { index, call }) => guest.expectDone("SET_VRING_CALL", vringFd(index), [call]),
    enable: (guest, { index }) => guest.expectDone("SET_VRING_ENABLE", vring(index, 1)),
  };
  const ORDERS = [
    "addr num kick call enable base memory",
    "kick call addr num base enable memory",
    "enable kick memory addr call num",
    "kick num memory call enable addr",
    "memory call enable addr num kick",
    "num addr memory base call kick enable",
    "addr memory kick enable call num",
  ];

  test.each(ORDERS)("%s: the rings run as soon as all is there", async (order) => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand(), group.hand()];
    await other.start(lab.file(vm2));
    guest.connect(lab.file(vm1));
    guest.fresh();
    await guest.negotiate();
    const steps = order.split(" ");
    for (const [i, step] of steps.entries()) {
      if (step === "memory") await guest.giveMemory();
      else for (const ring of guest.rings) await STEPS[step]!(guest, ring);
      const runs = steps.slice(0, i + 1);
      const complete = ["memory", "addr", "num", "kick"].every((it) => runs.includes(it));
      expect((await lab.port(vm1)).state).toBe(complete ? "running" : "connected");
    }
    for (let i = 0; i < 20; i++) {
      await pass(guest, other, i);
      await pass(other, guest, i);
    }
    expect((await lab.port(vm1)).lastError).toBeUndefined();
  });

  test("requests about rings that never were, or are just running, have their answers", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand(), group.hand()];
    await other.start(lab.file(vm2));
    guest.connect(lab.file(vm1));
    expect(await guest.stopRing(0)).toBe(0);
    expect(await guest.stopRing(4_000_000_000)).toBe(0);
    await guest.negotiate();
    await guest.giveMemory();
    guest.fresh();
    for (const ring of guest.rings) await guest.setUp(ring);
    await pass(guest, other, 1);
    const refused: [MessageName, ReturnType<typeof vring>, RegExp][] = [
      ["SET_VRING_NUM", vring(1, 128), /SET_VRING_NUM \(8\) refused: queue 1 is running, GET_VRING_BASE must stop it/],
      ["SET_VRING_BASE", vring(1, 7), /SET_VRING_BASE \(10\) refused: queue 1 is running/],
      ["SET_VRING_ENABLE", vring(1, 2), /SET_VRING_ENABLE \(18\) refused: 2 is neither 0 \(disable\) nor 1 \(enable\)/],
      ["SET_VRING_ENABLE", vring(256, 1), /SET_VRING_ENABLE \(18\) refused: there is no queue 256, at most 256/],
      ["SET_VRING_NUM", vring(2, 100), /refused: a split ring can not have 100 entries, only a power of two/],
      ["SET_FEATURES", u64(1n << 33n), /SET_FEATURES \(2\) refused: not offered: VIRTIO_F_ACCESS_PLATFORM$/],
      [
        "SET_FEATURES",
        u64(1n << 34n),
        /SET_FEATURES \(2\) refused: queue 0 runs: its ring can not become a packed one$/,
      ],
    ];
    for (const [name, payload, error] of refused) {
      expect(await guest.ack(name, payload)).toBe(1n);
      await lab.error(vm1, error);
    }
    // Features change under running rings: they stop, change their header and go on.
    for (let i = 2; i < 20; i++) {
      await guest.expectDone("SET_FEATURES", u64(guest.features | (1n << 30n) | (i % 2 === 0 ? 1n << 35n : 0n)));
      await pass(guest, other, i);
    }
    guest.leave();
    other.leave();
    for (const name of [vm1, vm2]) await lab.vacant(name);
    await expectGoodGuests(lab, [vm1, vm2]);
  });
});

/** More than all buffers on the way hold; whoever reads on for ever takes more. */
const LIMIT_BYTES = 2 << 20;

/** Asks until nothing more is taken for a while; resolves to how many bytes were. */
async function fill(raw: RawSocket): Promise<number> {
  const many = concat(new Array<Uint8Array>(1000).fill(GET_FEATURES));
  const before = raw.sentBytes;
  for (let refusals = 0; refusals < 50 && raw.sentBytes - before < LIMIT_BYTES; refusals++) {
    while (raw.some(many.subarray(raw.sentBytes % GET_FEATURES.length)) > 0) {
      refusals = 0;
      if (raw.sentBytes - before >= LIMIT_BYTES) break;
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return raw.sentBytes - before;
}

/** A request with NEED_REPLY and `size` bytes of zero. */
function question(name: MessageName, size = 0): Uint8Array {
  return header(MESSAGES[name].number, 1 | FLAG_NEED_REPLY, size, size);
}

function header(request: number, flags: number, size: number, payload = 0): Uint8Array {
  const bytes = new Uint8Array(12 + payload);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, size, true);
  return bytes;
}
