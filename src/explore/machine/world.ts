// The one linear memory of a machine and what lies in it at the start: the structs of the core, the RAM of the guests, rings
// that are started, receive buffers that are given. As few pages as it takes.

import * as virtio from "../../../assembly/spec/virtio.js";
import { Bridge, CONTROL_START } from "../../core/bridge.js";
import type { BridgePort } from "../../core/bridge-port.js";
import { bits } from "../../core/feature-bits.js";
import type { CoreExports } from "../../core/module.js";
import { PACKED_START } from "../../core/packed-ring.js";
import type { Access, Loaded, QueueKey, Steps } from "./driver/access.js";
import { type DriverState, freshDriver, operate } from "./driver/net.js";
import { type GuestLayout, roundUp } from "./guest-layout.js";
import type { GuestSetup, Setup } from "./setup.js";
import { stationOf } from "./setup.js";
import type { Sites } from "./sites.js";
import { instantiateTraced, type Tracer } from "./traced-core.js";

/** What a machine is run by: the traced build of the core and the table that belongs to it. */
export interface CoreBuild {
  /** dist/wasm/core.traced.wasm, from `compileTraced`. */
  module: WebAssembly.Module;
  /** dist/wasm/core.sites.json */
  sites: Sites;
}

/** Guest physical addresses and offsets in linear memory of one guest. */
export interface GuestWorld {
  number: number;
  setup: GuestSetup;
  layout: GuestLayout;
  /** Offset in linear memory of the guest's first byte. */
  window: number;
  port: BridgePort;
}

export interface World {
  memory: WebAssembly.Memory;
  bytes: Uint8Array;
  data: DataView;
  core: CoreExports;
  bridge: Bridge;
  guests: GuestWorld[];
  /** Is told of the core's accesses. Nobody is, at first. */
  tracing: { to: Tracer | undefined };
  /** The drivers as they stand at the start. */
  drivers: DriverState[];
}

/** Room for the structs of the core: 300 KiB are scratch space of its worker. */
const CORE_BYTES = 512 * 1024;
const WASM_PAGE = 64 * 1024;
/** What the module asks for (asconfig.json). */
const LEAST_PAGES = 16;
const GUARD = 4096;
/** The FDB: two buckets' worth would do, but then its cache lines could not be told apart. */
const FDB = { limit: 16, portLimit: 16, ageingSeconds: 300 };
const QUEUES: readonly QueueKey[] = ["receiveq", "transmitq"];

export async function makeWorld(setup: Setup, { module, sites }: CoreBuild): Promise<World> {
  const drivers = setup.guests.map((guest, number) => freshDriver(number, guest));
  const windowsStart = CONTROL_START + CORE_BYTES;
  const ram = drivers.reduce((sum, { layout }) => sum + layout.bytes + GUARD, 0);
  const pages = Math.max(LEAST_PAGES, Math.ceil((windowsStart + ram) / WASM_PAGE));
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const tracing: World["tracing"] = { to: undefined };
  const core = instantiateTraced(module, memory, sites, {
    access: (site, address) => tracing.to?.access(site, address),
    range: (site, to, from, length) => tracing.to?.range(site, to, from, length),
  });
  const bridge = new Bridge({ memory, core, workers: 1, fdb: FDB, windowsStart });
  // The one number that a bridge draws for itself.
  bridge.workers[0]!.set("fragmentId", setup.seed);
  const world: World = {
    memory,
    bytes: bridge.views.bytes,
    data: bridge.views.data,
    core,
    bridge,
    guests: [],
    tracing,
    drivers,
  };
  for (const driver of drivers) await addGuest(world, driver);
  for (const number of setup.learned) bridge.learn(world.guests[number]!.port, stationOf(number).mac, 1);
  for (const driver of drivers) giveFirstBuffers(world, driver);
  if (setup.device === "asleep") core.arm(bridge.workers[0]!.at);
  return world;
}

function featuresOf({ ring, mergeable, indirect, eventIdx, offloads }: GuestSetup): bigint {
  const { VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4 } = virtio;
  const numbers = [virtio.VIRTIO_F_VERSION_1];
  if (ring === "packed") numbers.push(virtio.VIRTIO_F_RING_PACKED);
  if (mergeable) numbers.push(virtio.VIRTIO_NET_F_MRG_RXBUF);
  if (indirect) numbers.push(virtio.VIRTIO_F_INDIRECT_DESC);
  if (eventIdx) numbers.push(virtio.VIRTIO_F_EVENT_IDX);
  if (offloads) {
    numbers.push(VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4);
  }
  return bits(...numbers);
}

async function addGuest({ bridge, guests }: World, { guest: number, setup, layout }: DriverState): Promise<void> {
  const port = bridge.addPort();
  port.features = featuresOf(setup);
  // A page between two guests belongs to nobody.
  const window = bridge.windows.allocate(roundUp(layout.bytes + GUARD, GUARD), GUARD)!;
  await bridge.setRegions(port, [{ guestAddress: BigInt(layout.base), size: BigInt(layout.bytes), window }]);
  const packed = setup.ring === "packed";
  for (const [index, key] of QUEUES.entries()) {
    const { desc, avail, used } = layout[key];
    const at = (address: number) => window + address - layout.base;
    const places = { desc: at(desc), avail: at(avail), used: at(used) };
    const ring = { size: setup.size, ...places, nextAvail: packed ? PACKED_START : 0, packed };
    await bridge.startQueue(port, index, ring, { callFd: 1, enabled: true, worker: 0 });
  }
  guests.push({ number, setup, layout, window, port });
}

function giveFirstBuffers(world: World, driver: DriverState): void {
  const guest = world.guests[driver.guest]!;
  run(operate(driver, { do: "post", buffers: guest.setup.rxBuffers }), (access) => perform(world, guest, access));
}

function run<Result>(steps: Steps<Result>, take: (access: Access) => Loaded): Result {
  let next = steps.next();
  while (!next.done) next = steps.next(take(next.value));
  return next.value;
}

/** Makes one access of a driver in memory. Returns what it has loaded. */
export function perform({ bytes, data }: Pick<World, "bytes" | "data">, guest: GuestWorld, access: Access): Loaded {
  if (access.do === "kick") return 0;
  const at = guest.window + access.at - guest.layout.base;
  switch (access.do) {
    case "load":
      return access.bytes === 4
        ? data.getUint32(at, true)
        : access.bytes === 2
          ? data.getUint16(at, true)
          : data.getUint8(at);
    case "read":
      return bytes.slice(at, at + access.length);
    case "write":
      bytes.set(access.data, at);
      return 0;
    default:
      bytes.set(littleEndian(access.value, access.bytes), at);
      return 0;
  }
}

/** A number of up to 53 bits as so many bytes. */
export function littleEndian(value: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0, left = value; i < length; i++, left = Math.floor(left / 256)) bytes[i] = left % 256;
  return bytes;
}
