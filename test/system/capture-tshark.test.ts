// `ringbridge capture -w -` piped into tshark: what Wireshark's dissectors count is what the switch has counted.
import { type ChildProcess, spawn } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LoadGuest } from "../../src/guest/load-guest.js";
import { guestMac, IMIX } from "../../src/guest/traffic.js";
import { Lab, until } from "../switch/support/lab.js";
import { cliFile, describeNeeding, programOnPath } from "./lib/needs.js";

/** 200 rounds, in which 5 frames go one way and 3 the other, each seen at both ports. */
const FRAMES = 3200;
const FIELDS = ["frame.interface_name", "frame.packet_flags_direction", "frame.len", "frame.time_epoch", "eth.src"];

describeNeeding(["tshark", "switch"], "a capture through a pipe, as tshark sees it", () => {
  const lab = new Lab();
  const guests: LoadGuest[] = [];
  const children: ChildProcess[] = [];
  beforeAll(async () => {
    await lab.start(["vm1=listen", "vm2=listen"]);
    const flows = [1, 2].map((n) => ({ from: guestMac(n), to: guestMac(3 - n) }));
    for (const n of [1, 2]) guests.push(await LoadGuest.attach({ path: lab.file(`vm${n}`), flows, mac: guestMac(n) }));
  });
  afterAll(async () => {
    for (const child of children) child.kill("SIGKILL");
    for (const guest of guests) guest.release();
    await lab.close();
  });

  test("ports, directions, lengths and times of every frame", async () => {
    const [a, b] = guests as [LoadGuest, LoadGuest];
    for (const guest of guests) guest.setTraffic(IMIX);
    const words = `capture vm1 vm2 -w - --count ${FRAMES}`;
    const fields = FIELDS.map((field) => `-e ${field}`).join(" ");
    const pipeline = `"$0" "$1" --control "$2" ${words} | "$3" -n -l -r - -T fields ${fields} 2>/dev/null`;
    const programs = [process.execPath, cliFile, lab.control.path, programOnPath("tshark")!];
    const child = spawn("sh", ["-c", pipeline, ...programs], { stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    const ended = new Promise((resolve) => child.once("close", resolve));
    let [text, said] = ["", ""];
    child.stdout.on("data", (piece) => {
      text += String(piece);
    });
    child.stderr.on("data", (piece) => {
      said += String(piece);
    });
    await until("the capture", () => said.includes("capturing") || undefined);
    const before = await lab.control.status();
    for (let i = 0; i < 200; i++) {
      a.send(5);
      b.send(3);
      await until("frames", () => {
        a.receive(64);
        b.receive(64);
        const arrived = (to: LoadGuest, from: LoadGuest) =>
          to.counters().received.frames === from.counters().sent.frames;
        return (arrived(a, b) && arrived(b, a)) || undefined;
      });
    }
    const after = await lab.control.status();
    expect(await ended).toBe(0);
    const rows = text
      .trim()
      .split("\n")
      .map((row) => row.split("\t"));
    for (const [i, name] of ["vm1", "vm2"].entries()) {
      const [then, now] = [before.ports[i]!, after.ports[i]!];
      const mine = rows.filter(([port]) => port === name);
      const way = (direction: RegExp) => mine.filter(([, found]) => direction.test(found!));
      const bytes = (found: string[][]) => found.reduce((sum, [, , length]) => sum + Number(length), 0);
      const [inbound, outbound] = [way(/^(1|0x0*1|Inbound)/i), way(/^(2|0x0*2|Outbound)/i)];
      expect([inbound.length, bytes(inbound)]).toEqual([now.rxFrames - then.rxFrames, now.rxBytes - then.rxBytes]);
      expect([outbound.length, bytes(outbound)]).toEqual([now.txFrames - then.txFrames, now.txBytes - then.txBytes]);
      expect(new Set(inbound.map(([, , , , source]) => source))).toEqual(new Set([guestMac(i + 1)]));
      expect(said).toContain(`${name}: ${mine.length} passed, 0 missed`);
    }
    expect(rows).toHaveLength(FRAMES);
    const times = rows.map(([, , , time]) => Number(time));
    expect(times).toEqual([...times].sort((x, y) => x - y));
    expect(Math.abs(times[0]! - Date.now() / 1000)).toBeLessThan(300);
  });
});
