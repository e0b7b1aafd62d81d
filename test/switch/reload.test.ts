// A configuration that changes under a running switch: by SIGHUP and over the control socket. Ports come, go and change
// while two others forward, who may notice nothing.

import { existsSync, statSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { closeFd } from "../../src/sys/memfd.js";
import { listenUnix } from "../../src/sys/socket.js";
import { describeLinux } from "../sys/linux.js";
import { HandGuest, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { expectGoodGuests, Pair } from "./support/traffic.js";

let lab: Lab;
let steady: Pair;
const guests: HandGuest[] = [];

/** Writes the configuration: two ports that stay, and these. */
function configure(ports: Record<string, string>, more = ""): void {
  const all = { s1: "{ listen: s1 }", s2: "{ listen: s2 }", ...ports };
  const lines = Object.entries(all).map(([name, port]) => `  ${name}: ${port}\n`);
  writeFileSync(lab.file("net.yaml"), `${more}ports:\n${lines.join("")}`);
}

async function names(): Promise<string[]> {
  return (await lab.control.status()).ports.map(({ name }) => name);
}

function hand(): HandGuest {
  const guest = new HandGuest();
  guests.push(guest);
  return guest;
}

beforeEach(async () => {
  lab = new Lab();
  configure({ vm1: "{ listen: vm1 }", vm2: "{ listen: vm2 }" });
  await lab.startFile(lab.file("net.yaml"));
  steady = (await Pair.attach(lab, ["s1", "s2"], 1)).go();
});

afterEach(async () => {
  for (const guest of guests.splice(0)) guest.close();
  try {
    await steady.settle();
    const ports = [await lab.port("s1"), await lab.port("s2")];
    expect(ports.map(({ connections, lastError, drops }) => [connections, lastError, drops])).toEqual([
      [1, undefined, {}],
      [1, undefined, {}],
    ]);
  } finally {
    steady.release();
    await lab.close();
  }
});

describeLinux("a configuration that is read again", () => {
  test("F39, F40: adds, removes and changes ports, and leaves the others alone", async () => {
    const [guest, other] = [hand(), hand()];
    await guest.start(lab.file("vm1"));
    await other.start(lab.file("vm2"));
    await pass(guest, other, 1);
    configure({ vm2: '{ listen: vm2, mode: "0600" }', vm3: "{ connect: vm3 }", vm4: "{ listen: vm4, queues: 2 }" });
    expect(await lab.control.reload()).toEqual({
      added: ["vm3", "vm4"],
      removed: ["vm1"],
      changed: ["vm2"],
      unchanged: ["s1", "s2"],
      needsRestart: [],
    });
    // Who was on a port that went or changed is disconnected; a changed port takes it again.
    await guest.lost;
    await other.lost;
    expect(existsSync(lab.file("vm1"))).toBe(false);
    expect(statSync(lab.file("vm2")).mode & 0o777).toBe(0o600);
    expect((await names()).sort()).toEqual(["s1", "s2", "vm2", "vm3", "vm4"]);
    expect((await lab.port("vm3")).role).toBe("connect");
    expect((await lab.control.fdb()).map(({ port }) => port).sort()).toEqual(["s1", "s2"]);
    await expectGoodGuests(lab, ["vm2", "vm4"]);
    await steady.more(100);
  });

  test("by SIGHUP, many times over, while frames flow on ports old and new", async () => {
    const before = lab.descriptors();
    const used = (await lab.control.status()).memory.windowBytesUsed;
    for (let round = 0; round < 8; round++) {
      const [vm1, vm2] = [`a${round}`, `b${round}`];
      configure({ [vm1]: `{ listen: ${vm1} }`, [vm2]: `{ listen: ${vm2} }` });
      process.kill(lab.pid, "SIGHUP");
      await until("the new ports", async () => (await names()).includes(vm2) || undefined);
      const [guest, other] = [hand(), hand()];
      await other.start(lab.file(vm2));
      await guest.start(lab.file(vm1));
      for (let i = 0; i < 5; i++) await pass(guest, other, i);
      await steady.more(50);
    }
    configure({ vm1: "{ listen: vm1 }", vm2: "{ listen: vm2 }" });
    await lab.control.reload();
    expect((await lab.control.status()).memory.windowBytesUsed).toBe(used);
    await lab.noMoreDescriptors(before);
    await expectGoodGuests(lab, ["vm1", "vm2"]);
  });

  test("changes nothing when it is bad, and says why", async () => {
    const bad: [() => void, RegExp][] = [
      [() => configure({ vm1: "{ listn: vm1 }" }), /net\.yaml:\d+.*ports\.vm1.*listn.*listen/s],
      [() => configure({ vm1: "{ listen: s1 }" }), /ports\.(vm1|s1).*s1/s],
      [() => configure({ vm1: "{ listen: vm1, queues: 0 }" }), /queues: must be a whole number from 1 to 128, not 0/],
      [() => writeFileSync(lab.file("net.yaml"), "ports: ["), /net\.yaml/],
    ];
    for (const [write, reason] of bad) {
      write();
      await expect(lab.control.reload()).rejects.toThrow(reason);
      lab.log = "";
      process.kill(lab.pid, "SIGHUP");
      await until(
        "the reason in the log",
        () => /nothing was changed, the old configuration/.test(lab.log) || undefined,
      );
      expect(lab.log).toMatch(reason);
      expect(await names()).toEqual(["s1", "s2", "vm1", "vm2"]);
    }
    await expectGoodGuests(lab, ["vm1", "vm2"]);
  });

  test("with a socket that cannot be had: the others are applied, and the next time it is tried again", async () => {
    const taken = listenUnix(lab.file("vm3"));
    configure({ vm1: "{ listen: vm1 }", vm3: "{ listen: vm3 }", vm4: "{ listen: vm4 }" });
    await expect(lab.control.reload()).rejects.toThrow(
      new RegExp(`vm3: ${lab.file("vm3")}: process ${process.pid} listens here; stop it or choose another path`),
    );
    expect((await names()).sort()).toEqual(["s1", "s2", "vm1", "vm4"]);
    closeFd(taken);
    expect(await lab.control.reload()).toMatchObject({ added: ["vm3"], removed: [], changed: [] });
    await expectGoodGuests(lab, ["vm3", "vm4"]);
  });

  test("what only a restart can change is named, and the rest is applied", async () => {
    configure({ vm1: "{ listen: vm1 }" }, "workers: 2\n");
    expect(await lab.control.reload()).toMatchObject({ removed: ["vm2"], needsRestart: ["workers"] });
    expect((await lab.control.status()).workers).toHaveLength(1);
  });
});
