// How the peers are started and handed to the benchmark. Whether they come up is for `npm run bench:peers` to see.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { benchWords, longestFrame, parseWords } from "../../bench/peers/arguments.js";
import { generatorWords, parsePortStats } from "../../bench/peers/dpdk-generator.js";
import { reserveHugePages } from "../../bench/peers/huge-pages.js";
import { bridgeWords, fixedFlows, openVswitchSettings } from "../../bench/peers/ovs.js";
import { type PeerOptions, shellLine } from "../../bench/peers/peer.js";
import { boundedCommand, PeerProcess } from "../../bench/peers/process.js";
import { MAC_FORWARD_GUESTS, testpmdWords, versionIn } from "../../bench/peers/testpmd.js";
import { benchOptions } from "../../src/cli/bench.js";
import { allowedCpus } from "../../src/sys/affinity.js";

const NAMES = ["testpmd-io", "testpmd-mac", "ovs-normal", "ovs-flow"];
const OPTIONS: PeerOptions = { folder: "/f", cpu: 3, hugePages: true, frameBytes: 1518 };
const SOCKETS: [string, string] = ["/f/a.sock", "/f/b.sock"];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-peers-test-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the words of npm run bench:peers", () => {
  it("has defaults, and passes on what it does not know", () => {
    const options = parseWords(["--methods", "mrr,ndr", "--peers", "testpmd-io, ovs-flow", "--nice", "-20"], NAMES);
    expect(options).toMatchObject({
      ...{ generator: "ringbridge", peers: ["testpmd-io", "ovs-flow"], cpus: [0, 1], hugePages: true, history: true },
      ...{ nice: -20, rest: ["--methods", "mrr,ndr"] },
    });
    expect(options.windows).toBeUndefined();
  });

  it("makes --quick short and of no history, except for what was asked for", () => {
    expect(parseWords(["--quick"], NAMES)).toMatchObject({
      ...{ sizes: ["64", "1518"], windows: 5, duration: 0.1, history: false },
    });
    const some = parseWords(["--quick", "--sizes", "256", "--duration", "1"], NAMES);
    expect(some).toMatchObject({ sizes: ["256"], windows: 5, duration: 1 });
  });

  it.each([
    [["--peers", "vpp"], "--peers vpp: there are testpmd-io, testpmd-mac, ovs-normal, ovs-flow"],
    [["--cpus", "1,1"], "--cpus 1,1: two different CPUs, such as 0,1"],
    [["--windows", "0"], "--windows 0: it must be a number above 0"],
    [["--nice", "-21"], "--nice -21: it goes from -20 to 19"],
    [["--generator", "moon"], "option '--generator <whose>' argument 'moon' is invalid"],
  ])("refuses %j", (words, message) => {
    expect(() => parseWords(words, NAMES)).toThrow(message);
  });

  it("makes words that ringbridge bench understands", () => {
    const [generator, backEnd] = allowedCpus();
    const options = parseWords(["--sizes", "64,imix", "--windows", "2", "--nice", "5"], NAMES);
    const peers = [
      { name: "listener", sockets: SOCKETS, role: "listens" as const, pids: [11, 12] },
      { name: "caller", sockets: SOCKETS, role: "connects" as const, pids: [13] },
    ];
    const words = benchWords({ ...options, cpus: [generator!, backEnd!] }, peers, "/out.json");
    const values = (flag: string) => words.flatMap((word, i) => (word === flag ? [words[i + 1]!] : []));
    expect(values("--backend")).toEqual([
      "ringbridge",
      "listener=/f/a.sock,/f/b.sock:connect@11",
      "caller=/f/a.sock,/f/b.sock:listen@13",
    ]);
    expect(words).toEqual(expect.arrayContaining(["--poll", "--huge-pages"]));
    for (const [flag, value] of [
      ["--sizes", "64,imix"],
      ["--windows", "2"],
      ["--nice", "5"],
      ["--json", "/out.json"],
    ]) {
      expect(values(flag!)).toEqual([value]);
    }
    if (backEnd === undefined) return;
    const read = benchOptions({ backend: values("--backend"), sizes: "64,imix", cpus: `${generator},${backEnd}` });
    expect(read.backEnds.map(({ kind }) => kind)).toEqual(["ringbridge", "sockets", "sockets"]);
    expect(read.reference).toBe("listener");
  });

  it("knows the longest frame, which is never shorter than a standard one", () => {
    expect(longestFrame(["64", "imix"])).toBe(1518);
    expect(longestFrame(["64", "9000"])).toBe(9000);
  });
});

describe("testpmd", () => {
  it("has both threads on one CPU, two devices, and no pages outside itself", () => {
    const words = testpmdWords("io", SOCKETS, OPTIONS);
    expect(words.slice(0, 3)).toEqual(["dpdk-testpmd", "--lcores", "0@3,1@3"]);
    expect(words).toContain("--vdev=net_vhost0,iface=/f/a.sock,queues=1,tso=1");
    expect(words).toContain("--vdev=net_vhost1,iface=/f/b.sock,queues=1,tso=1");
    expect(words).toContain("--in-memory");
    expect(words).not.toContain("--no-huge");
    expect(words.indexOf("--")).toBeLessThan(words.indexOf("--forward-mode=io"));
    expect(words.some((word) => word.startsWith("--eth-peer"))).toBe(false);
  });

  it("takes ordinary memory where there are no huge pages", () => {
    const words = testpmdWords("io", SOCKETS, { ...OPTIONS, hugePages: false });
    expect(words).toContain("--no-huge");
    expect(words).not.toContain("--in-memory");
  });

  it("writes the addresses into frames that the generator's guests have", () => {
    const words = testpmdWords("mac", SOCKETS, OPTIONS);
    expect(words).toContain(`--eth-peer=0,${MAC_FORWARD_GUESTS[0]}`);
    expect(words).toContain(`--eth-peer=1,${MAC_FORWARD_GUESTS[1]}`);
    const generator = generatorWords({ sockets: SOCKETS, role: "listens" }, { ...OPTIONS, cpu: 0 });
    expect(generator).toContain(`--eth-peer=0,${MAC_FORWARD_GUESTS[1]}`);
    expect(generator.find((word) => word.includes("net_virtio_user0"))).toContain(`mac=${MAC_FORWARD_GUESTS[0]},`);
  });

  it("tells its version", () => {
    expect(versionIn("EAL: RTE Version: 'DPDK 22.11.11'\n")).toBe("22.11.11");
    expect(versionIn("")).toBe("of unknown version");
  });
});

describe("DPDK's generator", () => {
  const sockets = SOCKETS;

  it("listens where the back-end connects, and has room for the longest frame", () => {
    const options = { cpu: 0, hugePages: true, frameBytes: 9000 };
    const listening = generatorWords({ sockets, role: "connects" }, options);
    expect(listening.filter((word) => word.endsWith(",server=1"))).toHaveLength(2);
    expect(Number(/\d+$/.exec(listening.find((word) => word.startsWith("--mbuf-size="))!)![0])).toBeGreaterThan(9128);
    expect(generatorWords({ sockets, role: "listens" }, options).join(" ")).not.toContain("server=1");
  });

  const port = (number: number, rx: number) => `
  ######################## NIC statistics for port ${number}  ########################
  RX-packets: ${rx}       RX-missed: 0          RX-bytes:  11456
  RX-errors: 0
  RX-nombuf:  0
  TX-packets: 200        TX-errors: 0          TX-bytes:  12800

  Throughput (since last show)
  Rx-pps:      ${rx * 10}          Rx-bps:            0
  Tx-pps:      2000          Tx-bps:            0
  ############################################################################
`;

  it("reads the counters of the last whole answer", () => {
    const stats = (rx: number) => ({ rxPackets: rx, txPackets: 200, rxPerSecond: rx * 10, txPerSecond: 2000 });
    const output = `testpmd> ${port(0, 1)}${port(1, 2)}testpmd> ${port(0, 3)}${port(1, 4)}`;
    expect(parsePortStats(output)).toEqual([stats(3), stats(4)]);
  });

  it("does not read an answer that is not complete", () => {
    expect(parsePortStats("testpmd> ")).toEqual([]);
    const half = `${port(0, 3)}${port(1, 4).slice(0, 150)}`;
    expect(parsePortStats(half)).toHaveLength(1);
  });
});

describe("OVS", () => {
  it("polls on one CPU, with huge pages or without", () => {
    const huge = openVswitchSettings(OPTIONS);
    expect(huge).toContain("other_config:pmd-cpu-mask=0x8");
    expect(huge.join(" ")).toContain("dpdk-socket-mem=256");
    const ordinary = openVswitchSettings({ ...OPTIONS, hugePages: false }).join(" ");
    expect(ordinary).toContain("--no-huge --legacy-mem -m 1024");
    expect(ordinary).not.toContain("dpdk-socket-mem");
    expect(ordinary).toContain("per-port-memory=true");
  });

  it("listens, or connects to sockets", () => {
    expect(bridgeWords(1518).filter((word) => word === "type=dpdkvhostuser")).toHaveLength(2);
    const words = bridgeWords(1518, ["/a", "/b"]);
    expect(words.filter((word) => word === "type=dpdkvhostuserclient")).toHaveLength(2);
    expect(words).toContain("options:vhost-server-path=/b");
  });

  it("gets a longer MTU only for frames that need one", () => {
    expect(bridgeWords(1518).join(" ")).not.toContain("mtu_request");
    expect(bridgeWords(9000).filter((word) => word === "mtu_request=9000")).toHaveLength(2);
    expect(openVswitchSettings({ ...OPTIONS, frameBytes: 9000 }).join(" ")).toContain("dpdk-socket-mem=512");
  });

  it("has a flow for each direction", () => {
    expect(fixedFlows()).toEqual(["in_port=vhost0,actions=output:vhost1", "in_port=vhost1,actions=output:vhost0"]);
  });
});

describe("huge pages", () => {
  it("are reserved beside those that others have, and just these are given back", () => {
    const path = join(folder, "nr_hugepages");
    writeFileSync(path, "10\n");
    const pages = reserveHugePages(5, path);
    expect(readFileSync(path, "utf8")).toBe("15");
    if (typeof pages === "string") throw new Error(pages);
    writeFileSync(path, "18");
    pages.release();
    pages.release();
    expect(readFileSync(path, "utf8")).toBe("13");
  });

  it("are a reason where they cannot be had", () => {
    expect(reserveHugePages(5, join(folder, "none", "nr_hugepages"))).toContain("ENOENT");
  });
});

describe("a peer's process", () => {
  it("is bounded without another process in between", () => {
    expect(boundedCommand(["x"], { cpu: 2, ownNetwork: true })).toEqual(
      "unshare --net taskset -c 2 setpriv --pdeathsig KILL -- x".split(" "),
    );
    expect(boundedCommand(["x"], {})).toEqual("setpriv --pdeathsig KILL -- x".split(" "));
  });

  it("says why it ended before it was ready, in its own words", async () => {
    const peer = new PeerProcess(["sh", "-c", "echo it began; echo error: no room; exit 3"], { name: "p", folder });
    await expect(peer.until(() => false, "it was ready", 10_000)).rejects.toThrow(
      "p ended (exit code 3) before it was ready: error: no room",
    );
    await peer.stop();
  });

  it("is stopped while it is paused, and when it does not listen", async () => {
    const peer = new PeerProcess(["sh", "-c", "echo ready; exec sleep 600"], { name: "p", folder });
    await peer.until(() => peer.output().includes("ready"), "it was ready", 10_000);
    peer.pause();
    await peer.stop();
    expect(peer.alive).toBe(false);
    expect(() => process.kill(peer.pid, 0)).toThrow("ESRCH");
    await peer.stop();
  });

  it("reads lines", async () => {
    const peer = new PeerProcess(["sh", "-c", 'read line; echo "got $line"; exec sleep 600'], { name: "p", folder });
    peer.write("a line");
    await peer.until(() => peer.output().includes("got a line"), "it had read it", 10_000);
    await peer.stop();
  });
});

describe("a command as one can type it", () => {
  it("quotes what a shell would read otherwise", () => {
    expect(shellLine(["a", "--b=c,d", "e f", "it's"])).toBe("a --b=c,d 'e f' 'it'\\''s'");
  });
});
