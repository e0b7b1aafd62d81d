// `ringbridge capture` of a running switch in a process of its own: what passes its ports, as file and as lines, while two
// other guests send to each other all the time.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ControlClient, RunningCapture } from "../../src/api/control-client.js";
import type { CaptureOptions } from "../../src/api/status.js";
import { CaptureReader, type ReadFrame } from "../../src/capture/read.js";
import { captureCommand } from "../../src/cli/capture.js";
import { UsageError } from "../../src/cli/io.js";
import { FakeIo } from "../cli/fake-io.js";
import { describeLinux } from "../sys/linux.js";
import { type HandGuest, handFrame, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { Pair } from "./support/traffic.js";
import { useLab } from "./support/use-lab.js";

/** A capture that is read as it comes. */
class Read {
  readonly frames: ReadFrame[] = [];
  readonly reader = new CaptureReader((frame) => this.frames.push(frame));
  ended = false;
  private readonly done: Promise<void>;

  static async start(control: ControlClient, options: CaptureOptions): Promise<Read> {
    const read = new Read(await control.capture(options));
    await until("the interfaces", () => read.reader.interfaces.length === options.ports.length || undefined);
    return read;
  }

  private constructor(private readonly capture: RunningCapture) {
    this.done = this.take();
  }

  /** All frames, once the capture has ended. */
  async stop(): Promise<ReadFrame[]> {
    await this.capture.stop();
    return this.whole();
  }

  async whole(): Promise<ReadFrame[]> {
    await this.done;
    this.reader.end();
    return this.frames;
  }

  private async take(): Promise<void> {
    for await (const piece of this.capture.pieces) this.reader.push(piece);
    this.ended = true;
  }
}

describeLinux("a capture", () => {
  const group = useLab();
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ringbridge-capture-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function guests(): Promise<{ names: string[]; a: HandGuest; b: HandGuest }> {
    const names = group.ports(2);
    const [a, b] = [group.hand(), group.hand()];
    await a.start(group.lab.file(names[0]!));
    await b.start(group.lab.file(names[1]!));
    await pass(a, b, 1);
    await pass(b, a, 2);
    return { names, a, b };
  }

  test("of two ports: every frame with its bytes, port, direction and a time of now", async () => {
    const { names, a, b } = await guests();
    const read = await Read.start(group.lab.control, { ports: names });
    const before = BigInt(Date.now() - 1) * 1_000_000n;
    for (let i = 0; i < 20; i++) await pass(i % 2 ? a : b, i % 2 ? b : a, i);
    const frames = (await read.stop()).filter(({ bytes }) => bytes[13] === 0xb6);
    const after = BigInt(Date.now() + 1) * 1_000_000n;
    expect(read.reader.interfaces.map(({ name }) => name)).toEqual(names);
    expect(frames).toHaveLength(40);
    for (let i = 0; i < 20; i++) {
      const [from, to] = i % 2 ? [a, b] : [b, a];
      const sent = handFrame(to.number, from.number, 60 + i, i);
      for (const [frame, direction, guest] of [
        [frames[2 * i]!, "in", from],
        [frames[2 * i + 1]!, "out", to],
      ] as const) {
        expect(Buffer.from(frame.bytes).equals(sent)).toBe(true);
        expect(frame).toMatchObject({ length: 60 + i, direction, interface: guest === a ? 0 : 1 });
        expect(frame.time).toBeGreaterThanOrEqual(before);
        expect(frame.time).toBeLessThanOrEqual(after);
      }
    }
  });

  test("its counts are those of the status, with nothing missed at a pace it can read", async () => {
    const { lab, steady } = group;
    const [port] = (await lab.control.status()).ports.filter(({ txFrames }) => txFrames > 0);
    const total = async () => {
      const { rxFrames, txFrames } = await lab.port(port!.name);
      return rxFrames + txFrames;
    };
    const before = await total();
    const read = await Read.start(lab.control, { ports: [port!.name], snapLength: 40 });
    const started = await total();
    await steady.more(2000);
    const stopping = await total();
    const frames = await read.stop();
    const ended = await total();
    const { received, dropped } = read.reader.interfaces[0]!;
    expect([frames.length, dropped]).toEqual([received, 0]);
    expect(received).toBeGreaterThanOrEqual(stopping - started);
    expect(received).toBeLessThanOrEqual(ended - before);
    expect(Math.max(...frames.map(({ bytes }) => bytes.length))).toBe(40);
  });

  test("--count ends it by itself, after frames that match the filter; -w writes them", async () => {
    const { names, a, b } = await guests();
    const io = new FakeIo();
    const file = join(folder, "count.pcapng");
    const options = { control: group.lab.control.path, ports: names, write: file, count: 3, filter: "greater 100" };
    const done = captureCommand(options, io);
    await io.until(() => io.err.includes("capturing"));
    for (let i = 30; i < 60; i++) await pass(a, b, i);
    expect(await done).toBe(0);
    const frames: ReadFrame[] = [];
    new CaptureReader((frame) => frames.push(frame)).push(readFileSync(file));
    expect(frames.map(({ length }) => length)).toEqual([100, 100, 101]);
    expect(io.err).toMatch(/3 frames captured; .*: \d+ passed, 0 missed; /);
    expect(io.listeners()).toBe(0);
  });

  test("lines, until a signal comes", async () => {
    const { names, a, b } = await guests();
    const io = new FakeIo();
    const done = captureCommand(
      { control: group.lab.control.path, ports: [names[0]!], filter: "ether proto 0x88b6" },
      io,
    );
    await until("the capture", async () => {
      await pass(a, b, 3);
      return io.out.includes("in ") || undefined;
    });
    await pass(b, a, 4);
    await io.until(() => io.out.includes(" out "));
    io.signals.emit("SIGINT");
    expect(await done).toBe(0);
    const lines = io.out.trim().split("\n");
    expect(lines.at(-1)).toMatch(
      new RegExp(
        `^\\d\\d:\\d\\d:\\d\\d\\.\\d{9} ${names[0]!.padEnd(8)} out 02:.* > 02:.*, ethertype 0x88b6, length 64$`,
      ),
    );
    expect(io.listeners()).toBe(0);
    expect(io.err).toMatch(new RegExp(`^${lines.length} frames captured; ${names[0]}: \\d+ passed, 0 missed\n$`));
  });

  test("--seconds ends it, also when nothing comes", async () => {
    const io = new FakeIo();
    const [name] = group.ports(1);
    expect(await captureCommand({ control: group.lab.control.path, ports: [name!], seconds: 0.2 }, io)).toBe(0);
    expect(io.err).toBe(`0 frames captured; ${name}: 0 passed, 0 missed\n`);
  });

  test("a frame that goes nowhere says why", async () => {
    const { names, a } = await guests();
    const read = await Read.start(group.lab.control, { ports: names, filter: "dropped" });
    for (let i = 0; i < 3; i++) a.send(handFrame(a.number, a.number, 70 + i, i));
    await until("the frames", () => read.frames.length === 3 || undefined);
    const frames = await read.stop();
    expect(frames.map(({ comment, length }) => [comment, length])).toEqual(
      [70, 71, 72].map((n) => ["dropped: hairpin", n]),
    );
  });

  test("what cannot be is refused before anything starts", async () => {
    const { control } = group.lab;
    const run = (options: Partial<Parameters<typeof captureCommand>[0]>) =>
      captureCommand({ control: control.path, ports: ["vm0"], ...options }, new FakeIo());
    await expect(run({ filter: "host nowhere" })).rejects.toThrow(UsageError);
    await expect(control.capture({ ports: ["vm0"], filter: "host nowhere" })).rejects.toThrow("filter, column 6");
    await expect(run({ ports: ["vm0", "nobody"] })).rejects.toThrow('there is no port "nobody"');
    await expect(control.capture({ ports: [] })).rejects.toThrow("a capture needs at least one port");
    await expect(run({ snaplen: 70_000 })).rejects.toThrow("snaplen is a whole number from 1 to 65558");
    await expect(run({ write: "/nowhere/x" })).rejects.toThrow("cannot write /nowhere/x");
    const captures = await Promise.all([1, 2, 3, 4].map(() => Read.start(control, { ports: ["vm0"] })));
    await expect(run({})).rejects.toThrow("4 captures run already");
    for (const capture of captures) await capture.stop();
    await (await Read.start(control, { ports: ["vm0"] })).stop();
  });

  test("a reader that goes away is forgotten, and one that does not read costs nobody anything but itself", async () => {
    const { lab, steady } = group;
    const { control } = lab;
    const [busy] = (await control.status()).ports.filter(({ txFrames }) => txFrames > 0);
    const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${lab.pid}/status`, "utf8"))![1]);
    const stuck = await control.capture({ ports: [busy!.name] });
    await steady.more(3000);
    const before = memory();
    await steady.more(20_000);
    // What it does not take is missed, and kept nowhere: all that passed would be 10 MB and more.
    expect(memory() - before).toBeLessThan(8_000);
    await stuck.stop();
    const reader = new CaptureReader(() => {});
    for await (const piece of stuck.pieces) reader.push(piece);
    reader.end();
    expect(reader.interfaces[0]!.dropped).toBeGreaterThan(1000);
    // Those who leave in the middle: their places are free again.
    for (let i = 0; i < 10; i++) {
      const left = await until("a place", () => control.capture({ ports: [busy!.name] }).catch(() => undefined));
      for await (const piece of left.pieces) if (piece.length > 0) break;
    }
  });

  test("a reload that takes a port away and brings it back: the capture goes on with it", async () => {
    const lab = new Lab();
    const config = lab.file("switch.yaml");
    const write = (names: string[], mtu = 1500) => {
      const ports = names.map((name) => `  ${name}: {listen: ${lab.file(name)}, mtu: ${mtu}}\n`);
      writeFileSync(config, `control: ${lab.control.path}\nports:\n${ports.join("")}`);
    };
    try {
      write(["vm1", "vm2"]);
      await lab.startFile(config);
      let pair = await Pair.attach(lab, ["vm1", "vm2"], 1);
      const read = await Read.start(lab.control, { ports: ["vm1", "vm2"] });
      await pair.exchange(16);
      await until("frames", () => read.frames.length >= 64 || undefined);
      pair.release();
      const first = read.frames.length;
      write(["vm1"], 1400);
      await lab.control.reload();
      write(["vm1", "vm2"], 1300);
      await lab.control.reload();
      expect(read.ended).toBe(false);
      pair = await Pair.attach(lab, ["vm1", "vm2"], 1);
      await pair.exchange(16);
      await until("frames again", () => read.frames.length >= first + 64 || undefined);
      pair.release();
      await sleep(20);
      const frames = await read.stop();
      const counts = read.reader.interfaces.map(({ received, dropped }) => ({ received, dropped }));
      expect(counts.reduce((sum, { received }) => sum + received!, 0)).toBe(frames.length);
      for (const number of [0, 1]) {
        expect(frames.filter((frame) => frame.interface === number)).toHaveLength(counts[number]!.received!);
      }
    } finally {
      await lab.close();
    }
  });

  test("a switch that ends says so to its captures", async () => {
    const lab = new Lab();
    try {
      await lab.start(["vm1=listen"]);
      const io = new FakeIo();
      const done = captureCommand(
        { control: lab.control.path, ports: ["vm1"], write: join(folder, "ended.pcapng") },
        io,
      );
      await io.until(() => io.err.includes("capturing"));
      const ended = expect(done).rejects.toThrow("went away in the middle of the answer");
      await lab.stop();
      await ended;
    } finally {
      await lab.close();
    }
  });
});
