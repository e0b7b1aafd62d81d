// What one guest may do to another by what it sends: floods, addresses that are not its own, memory that changes meanwhile.

import type { CheckCase, Workbench } from "../case.js";
import { difference, FRAME_MIN, frame, frameNumber } from "../frames.js";
import type { CheckGuest } from "../guest.js";
import { demand } from "../verdict.js";
import { within } from "../wait.js";

const room = "traffic";
const LENGTHS = [FRAME_MIN, 500, 1514];
/** Where addresses lie in a frame. */
const DESTINATION = 0;
const SOURCE = 6;
const ADDRESS_BYTES = 6;
const GROUP = [0x01, 0x00, 0x5e, 0, 0, 0x77];
const ZEROS = [0, 0, 0, 0, 0, 0];

/** A frame with another address in one of its two places. */
function readdressed(bytes: Uint8Array, place: number, address: readonly number[]): Uint8Array {
  const changed = bytes.slice();
  changed.set(address, place);
  return changed;
}

/** Frames with this source. */
async function sendFrom(bench: Workbench, a: CheckGuest, b: CheckGuest, source: readonly number[]): Promise<void> {
  for (let i = 0; i < 8; i++) a.send(readdressed(frame(1, 2, FRAME_MIN, i), SOURCE, source));
  await bench.quiet();
  b.receive();
  a.reclaim();
}

export const NEIGHBOUR_CASES: CheckCase[] = [
  {
    id: "M32",
    room,
    title: "a transmitq that is filled all the time does not keep the other guest waiting",
    clause: "CVE-2019-3900: a limit to what is done for one queue before the next has its turn",
    sockets: 2,
    run: async (bench) => {
      const [greedy, other] = await bench.pair({ size: 256 });
      const filler = frame(1, 2, FRAME_MIN, 0);
      let filled = 0;
      let slowest = 0;
      for (let i = 1; i <= 50; i++) {
        demand(other.send(frame(2, 1, FRAME_MIN, i)), `the other guest's ring is full at its frame ${i}`);
        const begun = performance.now();
        const arrived = await within(bench.timeoutMs, () => {
          while (greedy.send(filler)) filled++;
          other.receive();
          return greedy.receive().some((it) => frameNumber(it.frame) === i) || undefined;
        });
        demand(arrived === true, `frame ${i} of the other guest did not arrive, beside ${filled} of the greedy one`);
        slowest = Math.max(slowest, performance.now() - begun);
      }
      return `the slowest of 50 frames took ${slowest.toFixed(1)} ms beside ${filled} others`;
    },
  },
  {
    id: "M37",
    room,
    title: "memory tables that come while frames flow tear none of them",
    clause: "vhost-user, SET_MEM_TABLE; SPDK #3132: whoever is at the old mapping must have left it",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      const more = [a.addFile(), b.addFile()];
      const length = (number: number) => LENGTHS[number % LENGTHS.length]!;
      let sent = 0;
      let arrived = 0;
      const take = () => {
        for (const { frame: bytes } of b.receive()) {
          const number = frameNumber(bytes);
          if (number === undefined || number >= sent) continue;
          const changed = difference(bytes, frame(1, 2, length(number), number));
          demand(changed === undefined, `frame ${number} was changed: ${changed}`);
          arrived++;
        }
      };
      for (let round = 0; round < 30; round++) {
        for (let i = 0; i < 8 && a.send(frame(1, 2, length(sent), sent)); i++) sent++;
        for (const [i, guest] of [a, b].entries()) {
          await guest.giveMemory(round % 2 === 0 ? [...guest.files, more[i]!] : undefined);
        }
        take();
      }
      await bench.until("the sent buffers did not come back", () => {
        take();
        return a.rings[1]!.free.length + a.reclaim().length >= a.rings[1]!.size;
      });
      await bench.open(a, b);
      await bench.passAll(a, b, LENGTHS);
      return `${arrived} of ${sent} frames arrived`;
    },
  },
  {
    id: "M49a",
    room,
    title: "20000 source addresses from one guest: both can still talk",
    clause: "a table of addresses is bounded; who has one keeps it",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair({ size: 256 });
      const flood = frame(1, 2, FRAME_MIN, 0);
      const view = new DataView(flood.buffer);
      for (let i = 0; i < 20_000; i++) {
        // Spread over the address, so that no hash finds them alike.
        view.setUint32(SOURCE + 2, Math.imul(i + 1, 0x9e37_79b1) >>> 0);
        demand(
          (await within(bench.timeoutMs, () => {
            b.receive();
            return a.send(flood) || undefined;
          })) === true,
          `the ring stays full at address ${i}`,
        );
      }
      await bench.open(b, a);
      await bench.open(a, b);
      await bench.passAll(b, a, LENGTHS);
      await bench.passAll(a, b, LENGTHS);
    },
  },
  {
    id: "M49b",
    room,
    title: "a group address as a source is not learned: what is sent to it still reaches the other guest",
    clause: "IEEE 802.1Q, 8.7: a bridge learns individual addresses only",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      await sendFrom(bench, a, b, GROUP);
      await bench.pass(a, b, readdressed(frame(1, 2, 200, 1000), DESTINATION, GROUP));
    },
  },
  {
    id: "M49c",
    room,
    title: "an address of zeros as a source does no harm",
    // It has the form of an individual address: OVS learns it, Linux drops such frames.
    clause: "IEEE 802.1Q, 8.7: whether it is learned is the bridge's to say",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      await sendFrom(bench, a, b, ZEROS);
      a.send(readdressed(frame(1, 2, 200, 1000), DESTINATION, ZEROS));
      await bench.quiet();
      const reached = (await bench.arrivals(b, 1, 0)).length > 0;
      await bench.passAll(a, b, LENGTHS);
      await bench.passAll(b, a, LENGTHS);
      return reached ? "it is not learned" : "it is learned, or frames to it are dropped";
    },
  },
  {
    id: "M50",
    room,
    title: "another guest's source address: its owner has it back once it sends",
    clause: "IEEE 802.1Q, 8.7: the address is where it was seen last; how soon is not said",
    sockets: 2,
    run: async (bench) => {
      const [a, b] = await bench.pair();
      const owned = [...frame(2, 1, FRAME_MIN, 0).subarray(SOURCE, SOURCE + ADDRESS_BYTES)];
      for (let i = 0; i < 3; i++) {
        a.send(readdressed(frame(1, "all", FRAME_MIN, i), SOURCE, owned));
        await bench.quiet();
        b.receive();
        await bench.open(b, a);
        await bench.open(a, b);
        await bench.passAll(a, b, LENGTHS);
      }
    },
  },
];
