// Any front-end, however mad, against any switch that sometimes fails: the rules that hold after every message.
// FakeSwitch throws when an effect is about a ring that does not run, when a ring is started outside guest memory,
// when a descriptor is lost, closed twice or closed under a ring, and when memory changes under one.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Effect } from "../../src/vhost-user/effects.js";
import { encodeMessage, MESSAGES, type MessageName } from "../../src/vhost-user/message.js";
import { encodePayload, type Payload } from "../../src/vhost-user/payload.js";
import { DEFAULT_FEATURES, DEFAULT_PROTOCOL_FEATURES } from "../../src/vhost-user/features.js";
import { pagesComeLate } from "../../src/vhost-user/handlers/postcopy.js";
import { FakeSwitch } from "./fake-switch.js";
import { memTable, negotiate, region, ringAddresses, u64, UVA, vring, vringAddr, vringFd } from "./requests.js";

interface Said {
  name: MessageName;
  payload: Payload;
  fds: number;
  needReply: boolean;
  failing: Effect["kind"] | null;
}

const MIB = 1n << 20n;
const LOG_ALL = 1n << 26n;
const LOG_SHMFD = 2n;
const ACCESS_PLATFORM = 1n << 33n;
const BACKEND_REQ = 1n << 5n;
const PAGEFAULT = 1n << 8n;
const OFFERED = {
  features: DEFAULT_FEATURES | LOG_ALL | ACCESS_PLATFORM,
  protocolFeatures: DEFAULT_PROTOCOL_FEATURES | LOG_SHMFD | PAGEFAULT | (1n << 19n) | BACKEND_REQ,
};
const wild64 = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.constantFrom(0n, 1n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n),
);
const wild32 = fc.oneof(fc.nat({ max: 0xffffffff }), fc.constantFrom(0, 1, 255, 256, 65535, 65536, 0xffffffff));
// Few queues and few places, so that messages meet each other.
const index = fc.oneof({ weight: 20, arbitrary: fc.constantFrom(0, 1, 255) }, { weight: 1, arbitrary: wild32 });
const part = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...[0, 1, 2].map((i) => ringAddresses(i).desc)) },
  { weight: 8, arbitrary: fc.constantFrom(...[0, 1, 2].map((i) => ringAddresses(i).used)) },
  { weight: 1, arbitrary: wild64 },
);
const someRegion = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom(region(0n, 8n * MIB), region(MIB, MIB), region(MIB, 0x10000n)) },
  { weight: 4, arbitrary: fc.constantFrom(region(MIB + 0x8000n, MIB), region(16n * MIB, MIB), region(0n, 0n)) },
  {
    weight: 1,
    arbitrary: fc.record({ guestAddress: wild64, size: wild64, userAddress: wild64, mmapOffset: wild64 }),
  },
);
const features = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(0n, 1n << 30n, LOG_ALL | (1n << 30n), 1n << 32n, (1n << 30n) | (1n << 15n), 5n << 32n),
  },
  { weight: 1, arbitrary: wild64 },
);

const state = (num: fc.Arbitrary<number>) => fc.tuple(index, num).map(([i, n]) => vring(i, n));
const fdPayload = fc
  .oneof({ weight: 10, arbitrary: fc.record({ i: fc.constantFrom(0, 1, 255), noFd: fc.boolean() }) })
  .map(({ i, noFd }) => vringFd(i, noFd));
const address = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, 1).map((i) => vringAddr(i)) },
  {
    weight: 1,
    arbitrary: fc.record({ i: index, desc: part, avail: part, used: part }).map(({ i, ...at }) => ({
      ...(vringAddr(0, at) as Extract<Payload, { kind: "vringAddr" }>),
      index: i,
    })),
  },
);
const inflight: fc.Arbitrary<Payload> = fc
  .record({
    mmapSize: fc.oneof(fc.constantFrom(0n, 1n << 14n, 1n << 20n), wild64),
    mmapOffset: fc.oneof(fc.constant(0n), wild64),
    queues: fc.oneof(fc.constantFrom(1, 2), fc.nat({ max: 0xffff })),
    queueSize: fc.oneof(fc.constantFrom(100, 256), fc.nat({ max: 0xffff })),
    padded: fc.boolean(),
  })
  .map((area) => ({ kind: "inflight", ...area }));
const iotlb: fc.Arbitrary<Payload> = fc
  .record({
    iova: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(UVA, UVA + MIB, UVA + MIB + 0x8000n) }, wild64),
    size: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(4096n, 0x10000n, 2n * MIB) }, wild64),
    userAddress: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(UVA, UVA + MIB, UVA + MIB + 0x8000n) }, wild64),
    permission: fc.oneof({ weight: 9, arbitrary: fc.constant(3) }, { weight: 1, arbitrary: fc.nat({ max: 4 }) }),
    type: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(2, 2, 3) }, { weight: 1, arbitrary: fc.nat({ max: 6 }) }),
  })
  .map((entry) => ({ kind: "iotlb", ...entry }));
const payloadOf: Partial<Record<MessageName, fc.Arbitrary<Payload>>> = {
  SET_FEATURES: features.map(u64),
  SET_PROTOCOL_FEATURES: fc.constantFrom(8n, 0x108n, 0x1a009n, 0x9a10bn, 0x29n, 0x29n, 1n << 60n).map(u64),
  SET_STATUS: fc.constantFrom(0n, 11n, 15n, 256n).map(u64),
  SET_MEM_TABLE: fc.array(someRegion, { maxLength: 3 }).map((list) => memTable(...list)),
  ADD_MEM_REG: fc.oneof(
    { weight: 5, arbitrary: someRegion.map<Payload>((r) => ({ kind: "memRegion", region: r })) },
    { weight: 1, arbitrary: fc.constant<Payload>({ kind: "memRegion", region: null }) },
  ),
  REM_MEM_REG: someRegion.map((r) => ({ kind: "memRegion", region: r })),
  SET_VRING_NUM: state(fc.oneof(fc.constantFrom(0, 1, 3, 256, 1024, 32768), wild32)),
  SET_VRING_BASE: state(fc.oneof(fc.constantFrom(0, 65535, 0x8000, 0x8000_8000, 0x8005_0007), wild32)),
  GET_VRING_BASE: state(wild32),
  SET_VRING_ENABLE: state(fc.constantFrom(0, 1, 2)),
  SET_VRING_ADDR: address,
  SET_VRING_KICK: fdPayload,
  SET_VRING_CALL: fdPayload,
  SET_VRING_ERR: fdPayload,
  SET_LOG_BASE: fc
    .record({
      mmapSize: fc.oneof(fc.constantFrom(0n, 64n, 4096n), wild64),
      mmapOffset: fc.oneof(fc.constant(0n), wild64),
    })
    .map((log) => ({ kind: "log", ...log })),
  SET_DEVICE_STATE_FD: fc
    .record({ direction: fc.nat({ max: 2 }), phase: fc.nat({ max: 1 }) })
    .map((transfer) => ({ kind: "deviceState", ...transfer })),
  IOTLB_MSG: iotlb,
  GET_INFLIGHT_FD: inflight,
  SET_INFLIGHT_FD: inflight,
  NET_SET_MTU: wild64.map(u64),
  SEND_RARP: wild64.map(u64),
  SET_CONFIG: fc.record({ offset: wild32, flags: fc.constantFrom(0, 1) }).map(({ offset, flags }) => ({
    kind: "config" as const,
    ...{ offset, flags, data: new Uint8Array(8).fill(2) },
  })),
  GET_CONFIG: fc.constant<Payload>({ kind: "config", offset: 0, flags: 0, data: new Uint8Array(8) }),
};
const names = Object.values(MESSAGES)
  .filter((spec) => spec.supported)
  .map((spec) => spec.name);

/** Mostly what belongs to the message, sometimes any number. */
function fdsFor(payload: Payload, name: MessageName, wild: number): number {
  if (wild < 9) return wild;
  if (payload.kind === "memTable") return payload.regions.length;
  if (payload.kind === "vringFd") return payload.noFd ? 0 : 1;
  return MESSAGES[name].fds === "one" || payload.kind === "log" || payload.kind === "deviceState" ? 1 : 0;
}

const weighted: MessageName[] = [
  ...names,
  ...(["SET_VRING_NUM", "SET_VRING_ADDR", "SET_VRING_KICK", "SET_MEM_TABLE", "SET_VRING_KICK"] as const),
];
const said: fc.Arbitrary<Said> = fc.constantFrom(...weighted).chain((name) =>
  fc
    .record({
      payload: payloadOf[name] ?? fc.constant<Payload>({ kind: "none" }),
      wild: fc.nat({ max: 60 }),
      needReply: fc.boolean(),
      failing: fc.oneof(
        { weight: 15, arbitrary: fc.constant(null) },
        {
          weight: 1,
          arbitrary: fc.constantFrom<Effect["kind"]>(
            "setMemory",
            "setMtu",
            "addRegion",
            "removeRegion",
            "startQueue",
            "stopQueue",
            "stopQueue",
            "setFeatures",
            "setCall",
            "setKick",
            "setErr",
            "sendRarp",
            "setEnabled",
            "setLog",
            "setLogging",
            "setLogFd",
            "createInflight",
            "setInflight",
            "setBackendSocket",
            "clearInflight",
            "openUserfault",
            "endPostcopy",
            "transferState",
            "finishTransfer",
          ),
        },
      ),
    })
    .map(({ wild, ...rest }) => ({ name, fds: fdsFor(rest.payload, name, wild), ...rest })),
);

/** The same behind a virtual IOMMU. */
const translated: fc.Arbitrary<Said[]> = fc.boolean().map((packed) => {
  const messages: [MessageName, Payload, number][] = [
    ["SET_STATUS", u64(0n), 0],
    ["SET_PROTOCOL_FEATURES", u64(0x29n), 0],
    ["SET_FEATURES", u64(ACCESS_PLATFORM | (packed ? 5n << 32n : 1n << 32n)), 0],
    ["SET_BACKEND_REQ_FD", { kind: "none" }, 1],
    ["SET_MEM_TABLE", memTable(region(0n, 32n * MIB)), 1],
    ["SET_VRING_NUM", vring(0, 256), 0],
    ["SET_VRING_BASE", vring(0, packed ? 0x8000 : 0), 0],
    ["SET_VRING_ADDR", vringAddr(0), 0],
    ["SET_VRING_KICK", vringFd(0), 1],
    ["IOTLB_MSG", { kind: "iotlb", type: 2, iova: UVA, userAddress: UVA, size: 2n * MIB, permission: 3 }, 0],
  ];
  return messages.map(([name, payload, fds]) => ({ name, payload, fds, needReply: true, failing: null }));
});
/** A well-behaved start of a ring, so that the messages around it meet rings that run. */
const start: fc.Arbitrary<Said[]> = fc.record({ i: fc.constantFrom(0, 1, 255), packed: fc.boolean() }).map((ring) => {
  const { i, packed } = ring;
  const messages: [MessageName, Payload, number][] = [
    ["SET_MEM_TABLE", memTable(region(0n, 32n * MIB)), 1],
    ["SET_VRING_NUM", vring(i, packed ? 100 : 256), 0],
    ["SET_VRING_BASE", vring(i, packed ? 0x8000 : 0), 0],
    ["SET_VRING_ADDR", vringAddr(i), 0],
    ["SET_VRING_KICK", vringFd(i), 1],
  ];
  if (packed) messages.unshift(["SET_STATUS", u64(0n), 0], ["SET_FEATURES", u64(5n << 32n), 0]);
  return messages.map(([name, payload, fds]) => ({ name, payload, fds, needReply: true, failing: null }));
});
/** A postcopy migration as it should begin and go on; what else comes meets it in any state. */
const postcopy: fc.Arbitrary<Said[]> = fc.nat({ max: 4 }).map((length) => {
  const messages: [MessageName, Payload, number][] = [
    ["SET_PROTOCOL_FEATURES", u64(0x108n), 0],
    ["POSTCOPY_ADVISE", { kind: "none" }, 0],
    ["POSTCOPY_LISTEN", { kind: "none" }, 0],
    ["SET_MEM_TABLE", memTable(region(0n, 32n * MIB)), 1],
    ["SET_MEM_TABLE", memTable(), 0],
  ];
  const whole = messages.slice(0, length + 1);
  return whole.map(([name, payload, fds]) => ({ name, payload, fds, needReply: true, failing: null }));
});
const parts = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: said.map((one) => [one]) },
    { weight: 3, arbitrary: start },
    { weight: 1, arbitrary: translated },
    { weight: 1, arbitrary: postcopy },
  ),
  { minLength: 1, maxLength: 60 },
);
/** Half of them begin with a migration: later on there is memory, and none can. */
const conversation = fc
  .tuple(fc.oneof(fc.constant<Said[]>([]), postcopy), parts)
  .map(([first, rest]) => [first, ...rest].flat());

test("M31, M42: no sequence of messages breaks a rule of the boundary, and closing leaves nothing behind", () => {
  const starts = [0, 0];
  let behindIommu = 0;
  let lateStarts = 0;
  fc.assert(
    fc.property(conversation, (sequence) => {
      const sw = new FakeSwitch(OFFERED);
      negotiate(sw);
      for (const { name, payload, fds, needReply, failing } of sequence) {
        sw.failing.clear();
        if (failing !== null) sw.failing.set(failing, "it failed");
        const late = pagesComeLate(sw.state);
        const answer = sw.send(name, payload, sw.fds(fds), needReply);
        for (const effect of answer.effects) {
          if (effect.kind !== "startQueue") continue;
          starts[Number(effect.ring.packed)]!++;
          if (sw.translations !== null) behindIommu++;
        }
        if (answer.fault !== undefined) {
          expect(failing).toBe("stopQueue");
          break;
        }
        if (late) lateStarts += answer.effects.filter(({ kind }) => kind === "startQueue").length;
        // Those have replies of their own then, but for confirmations.
        if (late && ["SET_MEM_TABLE", "ADD_MEM_REG"].includes(name)) continue;
        const ownReply =
          MESSAGES[name].reply !== "ack" && (name !== "SET_LOG_BASE" || (sw.state.protocolFeatures & LOG_SHMFD) !== 0n);
        const acks = (sw.state.protocolFeatures & 8n) !== 0n;
        expect(answer.reply !== null).toBe(ownReply || (needReply && acks));
      }
      sw.failing.clear();
      sw.close();
      expect([sw.open.size, sw.running.size, sw.regions.length]).toEqual([0, 0, 0]);
      expect([sw.log, sw.transferring, sw.userfault]).toEqual([null, false, false]);
    }),
    { numRuns: 500 },
  );
  // The conversations are not all refusals.
  expect(starts[0]).toBeGreaterThan(100);
  expect(starts[1]).toBeGreaterThan(100);
  expect(behindIommu).toBeGreaterThan(100);
  expect(lateStarts).toBeGreaterThan(10);
});

test("M25, M26: any request number with any payload bytes has an outcome and loses no descriptor", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.nat({ max: 50 }), wild32),
      fc.uint8Array({ maxLength: 300 }),
      fc.nat({ max: 8 }),
      (request, payload, count) => {
        const sw = new FakeSwitch(OFFERED);
        negotiate(sw);
        sw.sendRaw(request, payload, sw.fds(count));
        sw.close();
        expect(sw.open.size).toBe(0);
      },
    ),
    { numRuns: 500 },
  );
});

test("the same message on the same state gives the same answer: a session keeps nothing outside its state", () => {
  fc.assert(
    fc.property(conversation, (sequence) => {
      const [a, b] = [new FakeSwitch(OFFERED), new FakeSwitch(OFFERED)];
      for (const { name, payload, fds, needReply } of sequence) {
        const bytes = encodeMessage(MESSAGES[name].number, needReply ? 8 : 0, payload);
        expect(bytes.length).toBe(12 + encodePayload(payload).length);
        const first = a.receive(bytes, a.fds(fds));
        // b has come to the same state by structure, not by history.
        b.state = structuredClone(b.state);
        expect(b.receive(bytes, b.fds(fds))).toEqual(first);
        expect(b.state).toEqual(a.state);
      }
    }),
    { numRuns: 50 },
  );
});
