// The command line of the benchmark: what it takes, and what it says of mistakes.

import { describe, expect, test } from "vitest";
import { parseBackEnd } from "../../src/bench/back-end.js";
import { estimateSeconds } from "../../src/bench/bench.js";
import { bitsPerFrame, describeSetting, settingsOf } from "../../src/bench/options.js";
import { rigFlows } from "../../src/bench/rig.js";
import { benchOptions } from "../../src/cli/bench.js";
import { main } from "../../src/cli/program.js";
import { allowedCpus } from "../../src/sys/affinity.js";
import { FakeIo } from "../cli/fake-io.js";
import { describeLinux } from "../sys/linux.js";

describe("--backend", () => {
  test("sockets, who listens, and the process", () => {
    expect(parseBackEnd("ringbridge")).toEqual({ kind: "ringbridge", name: "ringbridge" });
    expect(parseBackEnd("ovs=/run/a,/run/b")).toEqual({
      ...{ kind: "sockets", name: "ovs", sockets: ["/run/a", "/run/b"], role: "connect" },
    });
    expect(parseBackEnd("io=/a.sock,/b.sock:listen@123")).toEqual({
      ...{ kind: "sockets", name: "io", sockets: ["/a.sock", "/b.sock"], role: "listen", pid: 123 },
    });
  });

  test.each([
    ["ovs", "NAME=/a.sock,/b.sock"],
    ["ovs=/a.sock", "1 sockets: ports work in pairs"],
    ["ovs=/a.sock,b.sock", '"b.sock" is no absolute path'],
    ["ovs=/a.sock,/a.sock", "a socket is given twice"],
  ])("%s is refused", (text, sentence) => {
    expect(() => parseBackEnd(text)).toThrow(sentence);
  });
});

test("every stream has one back between the same addresses, and a guest's streams are side by side", () => {
  const flows = rigFlows({ ports: 4, pairs: 1, flows: 6 });
  expect(flows).toHaveLength(12);
  for (const { from, to } of flows)
    expect(flows.filter((flow) => flow.from === to && flow.to === from)).toHaveLength(1);
  expect(new Set(flows.map(({ from }) => from)).size).toBe(12);
  expect(flows.slice(0, 3).every(({ from }) => from.startsWith("02:00:00:01"))).toBe(true);
  expect(rigFlows({ ports: 2, pairs: 4, flows: 1 })).toHaveLength(8);
});

test("words and bits of a setting", () => {
  expect(describeSetting({ frame: "imix", direction: "both-ways", flows: 1000, ports: 4 })).toBe(
    "IMIX both-ways, 1000 flows, 4 ports",
  );
  expect(bitsPerFrame(64)).toBe(512);
  expect(describeSetting({ frame: "tso", direction: "one-way", flows: 1, ports: 2 })).toBe("TSO one-way");
  expect(bitsPerFrame("tso")).toBe((54 + 45 * 1448) * 8);
  expect(bitsPerFrame("imix")).toBeCloseTo(((7 * 64 + 4 * 570 + 1518) / 12) * 8);
});

describeLinux("options", () => {
  const cpus = allowedCpus();
  if (cpus.length < 2) console.log(`skipped: defaults of the benchmark: they need two CPUs, here is ${cpus.length}`);

  test.runIf(cpus.length >= 2)("defaults, and lists", () => {
    const options = benchOptions({ sizes: "1518,imix,64,64", flows: "1,100", methods: "mrr,latency" });
    expect(options).toMatchObject({
      ...{ backEnds: [{ kind: "ringbridge" }], directions: ["one-way"], ports: [2], queues: 1, cpus: cpus.slice(0, 2) },
      ...{ sizes: [1518, "imix", 64], flows: [1, 100], methods: ["mrr", "latency"], reference: undefined },
    });
    expect(settingsOf(options)).toHaveLength(6);
    expect(estimateSeconds(options)).toBeGreaterThan(estimateSeconds({ ...options, methods: ["mrr"] }));
  });

  test.runIf(cpus.length >= 2)("packed rings have any number of entries", () => {
    expect(benchOptions({ ring: "packed", queueSize: 100 })).toMatchObject({ ring: "packed", queueSize: 100 });
    expect(benchOptions({})).toMatchObject({ ring: "split", payload: false });
  });

  test.runIf(cpus.length >= 2)("the reference is the first back-end that is not ours", () => {
    expect(benchOptions({ backend: ["ringbridge", "io=/a,/b", "ovs=/c,/d"] }).reference).toBe("io");
    expect(benchOptions({ backend: ["io=/a,/b"] }).reference).toBeUndefined();
    expect(benchOptions({ backend: ["ringbridge"], selfTest: true }).backEnds.map(({ name }) => name)).toEqual([
      "ringbridge",
      "null",
    ]);
  });

  test.each([
    [["--sizes", "63"], '--sizes 63: "63" is no whole number from 64 to 9216'],
    [["--directions", "up"], '"up" is none of one-way, both-ways'],
    [["--methods", "rfc2544"], '"rfc2544" is none of mrr, ndr'],
    [["--ports", "3"], '"3" is odd'],
    [["--ports", "4", "--backend", "io=/a,/b"], "io was given 2 sockets: name 4"],
    [["--flows", "40000"], "from 1 to 32767"],
    [["--queue-size", "100"], "a split ring has a power of two of entries"],
    [["--queue-size", "15", "--ring", "packed"], "16 to 32768"],
    [["--sizes", "tso", "--self-test"], "the null back-end does not carry frames in several buffers"],
    [["--ring", "round"], '"round" is none of split, packed'],
    [["--cpus", "0"], "two different CPUs are needed"],
    [["--cpus", "0,9999"], "no whole number from 0 to 1023"],
    [["--cpus", "0,1000"], "CPU 1000 is not among"],
    [["--reference", "ovs"], "no back-end has that name; there are ringbridge"],
    [["--backend", "io=/a,/b", "--backend", "io=/c,/d"], "two back-ends are named io"],
    [["--nice", "-21"], "from -20 to 19"],
    [["--duration", "0"], "above 0"],
  ])("%j is refused in one line", async (words, sentence) => {
    const io = new FakeIo();
    expect(await main(["bench", ...words], io)).toBe(2);
    expect(io.err).toContain(sentence);
    expect(io.err.trim().split("\n")).toHaveLength(1);
  });
});
