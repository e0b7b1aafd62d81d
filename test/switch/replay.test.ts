// `ringbridge replay` into a running switch in a process of its own, beside two guests that send to each other all the time.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Pacer } from "../../src/capture/pace.js";
import { halves, PcapngWriter } from "../../src/capture/pcapng.js";
import { captureCommand } from "../../src/cli/capture.js";
import { UsageError } from "../../src/cli/io.js";
import { type ReplayCommandOptions, replayCommand } from "../../src/cli/replay.js";
import { FakeIo } from "../cli/fake-io.js";
import { describeLinux } from "../sys/linux.js";
import { type HandGuest, handFrame } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { useLab } from "./support/use-lab.js";

describe("when frames are due", () => {
  const times = [5_000_000_000n, 5_001_000_000n, 4_000_000_000n, 5_010_000_000n];

  test("at their own times, the first at once; a clock that went back does not matter", () => {
    const pacer = new Pacer({ kind: "recorded", speed: 2 }, 100);
    expect(times.map((time) => pacer.due(time))).toEqual([100, 100.5, 100, 105]);
    pacer.again(500);
    expect(times.map((time) => pacer.due(time))).toEqual([500, 500.5, 500, 505]);
  });

  test("at a rate, over all rounds of the file, or at once", () => {
    const rate = new Pacer({ kind: "rate", perSecond: 100 }, 7);
    expect(times.map((time) => rate.due(time))).toEqual([7, 17, 27, 37]);
    rate.again(1000);
    expect(rate.due(times[0]!)).toBe(47);
    const top = new Pacer({ kind: "topspeed" }, 7);
    expect(times.map((time) => top.due(time))).toEqual([7, 7, 7, 7]);
  });
});

describeLinux("a replay", () => {
  const group = useLab();
  let folder: string;
  let files = 0;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ringbridge-replay-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  interface Given {
    bytes: Uint8Array;
    direction?: "in" | "out";
    interface?: number;
    length?: number;
  }

  /** A file of two interfaces with a millisecond between frames. */
  function fileOf(frames: readonly Given[]): string {
    const writer = new PcapngWriter();
    writer.section();
    for (const name of ["one", "two"]) writer.interface(name);
    for (const [i, { interface: number = 0, bytes, ...frame }] of frames.entries()) {
      writer.packet({ length: bytes.length, ...frame, interface: number, bytes, time: halves(i * 1_000_000) });
    }
    const file = join(folder, `${++files}.pcapng`);
    writeFileSync(file, writer.take());
    return file;
  }

  async function replay(options: Partial<ReplayCommandOptions>, io = new FakeIo()): Promise<string> {
    const given = { control: group.lab.control.path, direction: "in" as const, port: "", file: "", ...options };
    expect(await replayCommand(given, io)).toBe(0);
    expect(io.listeners()).toBe(0);
    return io.err;
  }

  /** A port that is free, and a guest on another one, whose address the switch knows: nothing is flooded to others. */
  async function receiver(known = true): Promise<{ from: string; name: string; guest: HandGuest }> {
    const [from, name] = group.ports(2) as [string, string];
    const guest = group.hand({ size: 256, ram: { bytes: 4 << 20 } });
    await guest.start(group.lab.file(name));
    if (known) await introduce(guest, name);
    return { from, name, guest };
  }

  async function introduce(guest: HandGuest, name: string): Promise<void> {
    guest.send(handFrame(999, guest.number, 60, 0));
    const known = async () => (await group.lab.control.fdb()).some(({ port }) => port === name) || undefined;
    await until("the address", known);
  }

  /** Hand frames that have come so far, from a sender of this number. */
  const ours = (frames: Uint8Array[], sender: number) =>
    frames.filter((bytes) => bytes[13] === 0xb6 && bytes[10]! * 256 + bytes[11]! === sender);

  test("of what a capture has written arrives byte for byte, in order, and the switch counts it", async () => {
    const { from, name, guest } = await receiver();
    const [other] = group.ports(1);
    const sender = group.hand();
    await sender.start(group.lab.file(other!));
    const file = join(folder, "captured.pcapng");
    const io = new FakeIo();
    const done = captureCommand(
      { control: group.lab.control.path, ports: [other!], write: file, count: 40, filter: "inbound" },
      io,
    );
    await io.until(() => io.err.includes("capturing"));
    const sent = Array.from({ length: 40 }, (_, i) => handFrame(guest.number, sender.number, 60 + 35 * i, i));
    for (const bytes of sent) await until("room", () => sender.send(bytes) || undefined);
    await done;
    const first = ours(await collect(guest, sender.number, 40), sender.number);
    const before = await group.lab.port(from);
    const text = await replay({ file, port: from, topspeed: true, filter: "ether proto 0x88b6" });
    const again = ours(await collect(guest, sender.number, 40), sender.number);
    for (const frames of [first, again])
      expect(frames.map((bytes) => Buffer.from(bytes))).toEqual(sent.map((bytes) => Buffer.from(bytes)));
    const bytes = sent.reduce((sum, { length }) => sum + length, 0);
    expect(text).toMatch(
      new RegExp(`^sent 40 frames, ${bytes} bytes in .* s; the switch took 40 from ${from}, dropped none\n`),
    );
    const after = await group.lab.vacant(from);
    expect([after.rxFrames - before.rxFrames, after.rxBytes - before.rxBytes]).toEqual([40, bytes]);
    expect((await group.lab.port(name)).drops).toEqual({});
  });

  async function collect(guest: HandGuest, sender: number, count: number): Promise<Uint8Array[]> {
    const frames: Uint8Array[] = [];
    await until(`${count} frames`, () => {
      frames.push(...ours(guest.receive(), sender));
      return frames.length >= count || undefined;
    });
    return frames;
  }

  test("what is cut, of the other direction or interface, or no frame is skipped and said", async () => {
    const { from, guest } = await receiver();
    const frame = (number: number, length = 60) => handFrame(guest.number, 77, length, number);
    const file = fileOf([
      { bytes: frame(1), direction: "in" },
      { bytes: frame(2), direction: "out" },
      { bytes: frame(3), interface: 1 },
      { bytes: frame(4), length: 61 },
      { bytes: frame(5).subarray(0, 13) },
      { bytes: frame(6, 200) },
      { bytes: frame(7) },
    ]);
    const text = await replay({ file, port: from, interface: "one", filter: "less 100" });
    const came = await collect(guest, 77, 2);
    expect(came.map((bytes) => bytes[17])).toEqual([1, 7]);
    expect(text).toContain("frame 4 is cut to 60 of 61 bytes: skipped\n");
    for (const line of [
      "sent 2 frames, 120 bytes",
      "skipped 1 cut by their capture",
      "skipped 1 of the other direction",
      "skipped 1 of other interfaces",
      "skipped 1 that the filter does not match",
      "skipped 1 not of 14 to 65558 bytes",
    ]) {
      expect(text).toContain(line);
    }
    expect(await replay({ file, port: from, direction: "out", interface: "one", filter: "greater 20" })).toContain(
      "sent 3 frames",
    );
    expect(await replay({ file, port: from, direction: "all" })).toContain("sent 5 frames");
  });

  test("its own times are kept, a rate too, and the file is sent as often as wanted", async () => {
    const { from, guest } = await receiver();
    const file = fileOf(Array.from({ length: 30 }, (_, i) => ({ bytes: handFrame(guest.number, 78, 70, i) })));
    const timed = async (options: Partial<ReplayCommandOptions>) => {
      const start = performance.now();
      await replay({ file, port: from, ...options });
      return performance.now() - start;
    };
    // Nothing is sent before its time; how much later is the machine's affair.
    expect(await timed({})).toBeGreaterThanOrEqual(29);
    expect(await timed({ speed: 0.25 })).toBeGreaterThanOrEqual(116);
    expect(await timed({ rate: 500, loop: 2 })).toBeGreaterThanOrEqual(118);
    expect(await collect(guest, 78, 120)).toHaveLength(120);
  });

  test("more than the ring holds, again and again", async () => {
    const { from, guest } = await receiver();
    const file = fileOf(Array.from({ length: 500 }, (_, i) => ({ bytes: handFrame(guest.number, 80, 60 + 3 * i, i) })));
    const text = await replay({ file, port: from, topspeed: true, loop: 10 });
    expect(text).toContain("sent 5000 frames");
    expect(text).toContain(`the switch took 5000 from ${from}`);
  });

  test("--to sends to the guest of another port, and drops are said with their causes", async () => {
    const { from, name, guest } = await receiver(false);
    const file = fileOf([1, 2, 3].map((number) => ({ bytes: handFrame(999, 81, 64, number) })));
    await expect(replay({ file, port: from, to: name })).rejects.toThrow(`the switch knows no address at port ${name}`);
    await introduce(guest, name);
    await replay({ file, port: from, to: name });
    const came = await collect(guest, 81, 3);
    expect(came.map((bytes) => Buffer.from(bytes).readUInt16BE(4))).toEqual([guest.number, guest.number, guest.number]);
    const hairpin = fileOf([{ bytes: handFrame(82, 82, 64, 1) }]);
    expect(await replay({ file: hairpin, port: from })).toContain(
      `the switch took 1 from ${from}, dropped 1 hairpin\n`,
    );
  });

  test("what cannot be is refused with a sentence", async () => {
    const { from, name } = await receiver();
    const file = fileOf([{ bytes: handFrame(1, 2, 60, 1) }]);
    await expect(replay({ file, port: name })).rejects.toThrow(`port ${name} has a guest (pid ${process.pid})`);
    await expect(replay({ file, port: "nobody" })).rejects.toThrow('there is no port "nobody"');
    await expect(replay({ file, port: from, rate: 5, topspeed: true })).rejects.toThrow(UsageError);
    await expect(replay({ file: "-", port: from, loop: 2 })).rejects.toThrow(UsageError);
    await expect(replay({ file, port: from, filter: "prot 5" })).rejects.toThrow("filter, column 1");
    await expect(replay({ file: "/nowhere", port: from })).rejects.toThrow("/nowhere: ENOENT");
    const text = join(folder, "text");
    writeFileSync(text, "this is no capture file, but text\n");
    await expect(replay({ file: text, port: from })).rejects.toThrow("neither pcap nor pcapng");
    // None of them has left anything on the port.
    await group.lab.vacant(from);
    expect(await replay({ file, port: from })).toContain("sent 1 frames");
  });

  test("Ctrl-C ends it, with what was sent until then", async () => {
    const { from } = await receiver();
    const file = fileOf([1, 2, 3].map((number) => ({ bytes: handFrame(83, 84, 64, number) })));
    const io = new FakeIo();
    const done = replay({ file, port: from, speed: 1e-6 }, io);
    await group.lab.when(from, ({ rxFrames }) => rxFrames === 1);
    io.signals.emit("SIGINT");
    expect(await done).toContain(`sent 1 frames, 64 bytes`);
  });

  test("a port that connects: the replay listens there, more than once", async () => {
    const lab = new Lab();
    try {
      await lab.start(["vm1=connect", "vm2=listen"]);
      const file = fileOf([{ bytes: handFrame(1, 2, 60, 1) }]);
      for (let i = 1; i <= 2; i++) {
        const io = new FakeIo();
        await replayCommand({ control: lab.control.path, file, port: "vm1", direction: "in" }, io);
        expect(io.err).toContain("the switch took 1 from vm1, dropped 1 no-port");
        await lab.vacant("vm1");
      }
    } finally {
      await lab.close();
    }
  });
});
