// What the engines are compared by: for each seed one run of two labs with a lossy link, drawn guests and drawn faults, and
// the SHA-256 of everything that its ports saw. Without anything that only one engine has.

import { createLab, drawFaults, drawShape, IMIX, linkLabs, poisson } from "ringbridge/testing";

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
const GUESTS = ["x", "y", "z"];

/** Digests by name: every seed with the build of the core that shares no memory, the first also with the one that does. */
export async function hashes() {
  const all = {};
  for (const seed of SEEDS) all[`seed ${seed}`] = await digest(seed, "browser");
  all["seed 1, shared memory"] = await digest(SEEDS[0], "release");
  return all;
}

async function digest(seed, build) {
  const first = await createLab({ seed, build, memoryMiB: 24 });
  const second = await createLab({ seed: seed + 1, build, memoryMiB: 24, clock: first.clock, site: 1 });
  await linkLabs(first, second, { bitsPerSecond: 50e6, delay: 0.3, loss: 0.02 });
  const labs = [first, second];
  for (const lab of labs) for (const name of GUESTS) await lab.guest(name, drawShape(lab.random));
  for (const lab of labs) {
    for (const from of lab.guests.slice(1)) {
      const to = lab.random.pick(lab.random.pick(labs).guests.slice(1));
      lab.traffic(from, poisson({ to, perSecond: 20_000, sizes: IMIX, count: 200 }));
    }
    lab.inject(...drawFaults(lab.random, { guests: GUESTS, until: 8, count: 5 }));
  }
  await first.run(20);
  await first.settle();
  return sha256(labs.map((lab) => lab.pcapng()));
}

/** Of several arrays, one after the other, in hexadecimal digits. */
export async function sha256(parts) {
  const digest = await crypto.subtle.digest("SHA-256", parts.length === 1 ? parts[0] : joined(parts));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
