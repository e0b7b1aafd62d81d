// `ringbridge status` and `fdb`, against a control socket whose switch is made up.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ControlServer, startControlServer } from "../../src/api/control-server.js";
import { main } from "../../src/cli/program.js";
import { statusCommand } from "../../src/cli/status.js";
import { portRates, renderStatus } from "../../src/cli/status-view.js";
import { busyPort, FakeControl, waitingPort } from "../api/fake-control.js";
import { FakeIo } from "./fake-io.js";

let folder: string;
let path: string;
let control: FakeControl;
let server: ControlServer;
let io: FakeIo;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-status-"));
  path = join(folder, "control.sock");
  control = new FakeControl();
  server = await startControlServer({ path, control });
  io = new FakeIo();
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const run = (...argv: string[]) => main(["--control", path, ...argv], io);

describe("status", () => {
  it("shows the whole picture", async () => {
    expect(await run("status")).toBe(0);
    expect(io.err).toBe("");
    expect(io.out).toBe(`\
ringbridge 1.2.3: process ${process.pid}, up 1 h 2 min, core 0123456789abcdef
memory: 256 MiB of 4.00 GiB hold guest memory
fdb: 1 of 65536 addresses, forgotten after 300 s; 1 learned, 0 moved, 0 aged

WORKER  STATE   QUEUES  FRAMES  POLLS  PARKS
0       parked       1    3000    100      5
chunks of worker 0: 2 of 128 windows in use, mapped 4321 times at 2.3 µs

PORT  STATE    FOR        RX FRAMES    RX RATE     RX BITS  TX FRAMES  TX RATE  TX BITS  DROPS
vm1   running  1 min 5 s       3000  1.00 kpps  512 kbit/s       1000    0 pps  0 bit/s      7
vm2   waiting  1 min 5 s          0      0 pps     0 bit/s          0    0 pps  0 bit/s      0

vm1: listen /run/vm1.sock, front-end process 4711, connected 2 times
  last error: the front-end closed the connection
  features: mrg_rxbuf version_1 in_order (12-byte header)
  protocol: mq
  memory: 256 MiB at 0x0, window 0x1000000 (the front-end could truncate it: it has no F_SEAL_SHRINK)
  memory: 16.0 GiB at 0x100000000, in chunks, 4.00 MiB mapped now
  QUEUE  KIND       STATE    SIZE  FRAMES     BYTES  CALLS  WORKER  DROPS
      0  receiveq   running   256    1000  62.5 KiB     10              7
      1  transmitq  broken    256    2000   125 KiB     20       0      0
  queue 1 is broken at descriptor 9: a descriptor chain of the guest is longer than its ring: it loops
  7 dropped, no-rx-buffer: The receiving guest had no free receive buffer. It takes frames more slowly than they come: \
give it a longer queue (rx_queue_size), more queues or CPU.

vm2: listen /run/vm2.sock, never connected
  waits for a front-end to connect
`);
  });

  it("shows a migration that is under way", () => {
    const port = busyPort("vm1", 0);
    const line = (migration: typeof port.migration) =>
      renderStatus({ ...control.status(), ports: [{ ...port, migration }] }, new Map()).match(
        /^ *migration: .*$/m,
      )?.[0];
    expect(line(undefined)).toBeUndefined();
    expect(line({ role: "source" })).toBe(
      "  migration: its guest is being moved away: what is written is marked in a dirty log",
    );
    expect(line({ role: "postcopy", lateBytes: 160 << 20 })).toBe(
      "  migration: postcopy: pages of 160 MiB come when somebody waits for one",
    );
  });

  it("prints one snapshot as JSON", async () => {
    expect(await run("status", "--json")).toBe(0);
    expect(JSON.parse(io.out)).toMatchObject({ version: "1.2.3", ports: [{ name: "vm1" }, { name: "vm2" }] });
  });

  it("shows one port, or says which there are", async () => {
    expect(await run("status", "--json", "--port", "vm2")).toBe(0);
    expect((JSON.parse(io.out) as { ports: unknown[] }).ports).toHaveLength(1);
    expect(await run("status", "--port", "wm2")).toBe(1);
    expect(io.err).toBe('ringbridge: the switch has no port "wm2" (did you mean "vm2"?)\n');
    io.err = "";
    expect(await run("status", "--port", "gateway")).toBe(1);
    expect(io.err).toBe('ringbridge: the switch has no port "gateway": the ports are vm1, vm2\n');
  });

  it("watches until a signal, and puts the signals back", async () => {
    const watching = statusCommand({ control: path, watch: true, intervalMs: 1 }, io);
    const pictures = () => io.out.split("ringbridge 1.2.3").length - 1;
    await io.until(() => pictures() >= 3);
    io.signals.emit("SIGINT");
    expect(await watching).toBe(0);
    expect(io.out).not.toContain("\x1b");
    expect(io.out).toContain("\n\nringbridge 1.2.3");
    expect(io.listeners()).toBe(0);
  });

  it("watches until nobody reads", async () => {
    const watching = statusCommand({ control: path, watch: true, intervalMs: 60_000 }, io);
    await io.until(() => io.out !== "");
    io.stdout.emit("error", Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
    expect(await watching).toBe(0);
    expect(io.listeners()).toBe(0);
  });

  it("clears a terminal between pictures", async () => {
    io.stdout.isTTY = true;
    const watching = statusCommand({ control: path, watch: true, intervalMs: 1 }, io);
    await io.until(() => io.out.split("\x1b[H\x1b[2J").length > 2);
    io.signals.emit("SIGTERM");
    expect(await watching).toBe(0);
  });

  it("watches as one line of JSON per snapshot", async () => {
    const watching = statusCommand({ control: path, watch: true, json: true, intervalMs: 1 }, io);
    await io.until(() => io.out.split("\n").length > 2);
    io.signals.emit("SIGINT");
    await watching;
    for (const line of io.out.trimEnd().split("\n")) expect(JSON.parse(line)).toMatchObject({ version: "1.2.3" });
  });

  it("ends with 1 when the watched switch goes away", async () => {
    const watching = main(["--control", path, "status", "--watch"], io);
    await io.until(() => io.out !== "");
    await server.close();
    expect(await watching).toBe(1);
    expect(io.err).toMatch(/^ringbridge: no switch runs here \(there is no .*control\.sock\).*\n$/);
  });
});

describe("fdb", () => {
  it("shows what was learned, by port and address", async () => {
    control.entries = [
      { mac: "52:54:00:00:00:03", port: "vm2", ageSeconds: 0 },
      { mac: "52:54:00:00:00:02", port: "vm1", ageSeconds: 65 },
      { mac: "52:54:00:00:00:01", port: "vm1", ageSeconds: 3 },
    ];
    expect(await run("fdb")).toBe(0);
    expect(io.out).toBe(`\
MAC                PORT        AGE
52:54:00:00:00:01  vm1         3 s
52:54:00:00:00:02  vm1   1 min 5 s
52:54:00:00:00:03  vm2         0 s
`);
  });

  it("says when there is nothing, and prints JSON", async () => {
    control.entries = [];
    expect(await run("fdb")).toBe(0);
    expect(await run("fdb", "--json")).toBe(0);
    expect(io.out).toBe("no addresses learned\n[]\n");
  });

  it("flushes all or one port", async () => {
    expect(await run("fdb", "flush")).toBe(0);
    expect(await run("fdb", "--json", "flush", "--port", "vm1")).toBe(0);
    expect(await run("fdb", "flush", "--port", "vm9")).toBe(1);
    expect(control.flushes).toEqual([undefined, "vm1"]);
    expect(io.out).toBe('forgot 1 address\n{"flushed":1}\n');
    expect(io.err).toBe('ringbridge: there is no port "vm9": the ports are vm1, vm2\n');
  });
});

describe("rates and pictures", () => {
  const snapshot = (takenAtMs: number, ports = [busyPort("a", 0)]) => ({ ...control.status(), takenAtMs, ports });

  it("are differences over the time between, per second", () => {
    const before = snapshot(1000);
    const after = snapshot(1250, [{ ...busyPort("a", 0), rxFrames: 2100, rxBytes: 134_400, txFrames: 1000 }]);
    expect(portRates(before, after).get("a")).toEqual({ rxFrames: 400, rxBits: 204_800, txFrames: 0, txBits: 0 });
  });

  it("are left out for a port that is new, was made again, or when no time has passed", () => {
    const before = snapshot(1000);
    expect(portRates(before, snapshot(2000, [busyPort("b", 0)])).size).toBe(0);
    expect(portRates(before, snapshot(2000, [busyPort("a", 1)])).size).toBe(0);
    expect(portRates(before, snapshot(2000, [waitingPort("a", 0)])).size).toBe(0);
    expect(portRates(before, snapshot(1000)).size).toBe(0);
    expect(renderStatus(snapshot(1), new Map())).toMatch(/^a {5}running .* - +- /m);
  });

  it("show a switch without ports, a refused address and an unknown drop cause", () => {
    const status = snapshot(1, []);
    expect(renderStatus({ ...status, fdb: { ...status.fdb, refused: 3 } }, new Map())).toMatch(
      /0 aged, 3 refused \(table or a port's share of it is full\)\n.*\n\nno ports\n$/s,
    );
    const odd = snapshot(1, [{ ...waitingPort("a", 0), role: "connect", drops: { "cosmic-rays": 2, hairpin: 0 } }]);
    expect(renderStatus(odd, new Map())).toContain("waits for the front-end's socket\n  2 dropped, cosmic-rays:\n");
  });

  it("shows what was done for a driver without offloads, summed over its queues, and nothing when there was nothing", () => {
    const port = busyPort("a", 0);
    const [receiveq, transmitq] = port.queues;
    const queue = (segmented: number, segments: number, checksums: number) => ({
      ...receiveq!,
      softwareOffloads: { segmented, segments, checksums },
    });
    const text = (queues: typeof port.queues) => renderStatus(snapshot(1, [{ ...port, queues }]), new Map());
    expect(text([queue(2, 90, 0), transmitq!, queue(1, 3, 1234)])).toContain(
      "  3 long frames cut into 93 for its driver\n  1234 checksums finished for its driver\n",
    );
    expect(text([queue(0, 0, 0), transmitq!])).not.toContain("for its driver");
  });
});
