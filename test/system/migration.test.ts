// F22: a running guest moves, live, to a QEMU at another port of the same switch, and from there to one at another switch
// of the same host, while another guest pings it and sends it a TCP stream. The two switches are joined by a cable: a
// guest with a NIC in each that passes on what it hears.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { Cable, progressOf } from "./lib/moving.js";
import { anyQemu, describeNeeding } from "./lib/needs.js";
import { progress, scratch, waitFor } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { ping, Pings } from "./lib/traffic.js";

const PING_INTERVAL_S = 0.05;
/** What the outage may be, in seconds. */
const SILENCE_MAX_S = 1;
const STREAM_PORT = 5002;
/** Little enough that memory is sent in several rounds, while the stream writes to it. */
const BYTES_PER_SECOND = 16 << 20;
/** So much of the stream comes through after the guest has moved. */
const MORE_BYTES = 4 << 20;

describeNeeding(["switch", "qemu"], "live migration", () => {
  const here = ["peer", "source", "target", "cable1"].map((name) => socketPort(name));
  const there = ["next", "cable2"].map((name) => socketPort(name));
  const cable = new Cable();
  const switches: RunningSwitch[] = [];
  const guests: Guest[] = [];
  let peer: Guest;
  /** Where the guest is now. */
  let mover: Guest;

  const moverAt = (name: string, socket: string, incoming?: string): Promise<Guest> =>
    startGuest({
      qemu: anyQemu,
      name,
      mac: "52:54:00:00:09:01",
      address: "10.0.9.1/24",
      socket,
      more: incoming === undefined ? [] : ["-incoming", `unix:${incoming}`],
    });

  beforeAll(async () => {
    switches.push(await startSwitch(here), await startSwitch(there));
    await cable.plug([here[3]!.path, there[1]!.path]);
    const mac = "52:54:00:00:09:02";
    peer = await startGuest({ qemu: anyQemu, name: "peer", mac, address: "10.0.9.2/24", socket: here[0]!.path });
    mover = await moverAt("source", here[1]!.path);
    guests.push(peer, mover);
    await Promise.all(guests.map((guest) => guest.booted()));
    expect(await ping(peer, mover, 5)).toBe(5);
    await peer.must("dd if=/dev/urandom of=/tmp/block bs=1M count=1 2>/dev/null; mkfifo /tmp/copy");
    await mover.must("mkfifo /tmp/open");
  });
  afterAll(async () => {
    for (const guest of guests) await guest.kill();
    cable.unplug();
    for (const each of switches) await each.kill();
  });

  /** Moves the guest to a QEMU at another socket under load, and returns what the peer saw of it. */
  async function migrate(name: string, socket: string) {
    const incoming = join(scratch, `${name}-incoming.sock`);
    const target = await moverAt(name, socket, incoming);
    guests.push(target);
    // Both ends make a hash of the stream: a byte that is lost, doubled or changed changes it.
    const receiver = `nc -l -p ${STREAM_PORT} <>/tmp/open | sha256sum >/tmp/received`;
    await mover.must(`rm -f /tmp/received; (setsid sh -c '${receiver}') >/dev/null 2>&1 &`);
    await mover.must(`until netstat -ltn | grep -q :${STREAM_PORT}; do usleep 50000; done`);
    await peer.must("rm -f /tmp/stop");
    const send = `while [ ! -e /tmp/stop ]; do cat /tmp/block; done | tee /tmp/copy | nc ${mover.ip} ${STREAM_PORT}`;
    const stream = await peer.job(`sha256sum </tmp/copy >/tmp/sent & ${send}; wait`);
    const pings = await Pings.start(peer, mover, PING_INTERVAL_S);
    await sleep(2000);

    const monitor = await mover.qmp();
    const begun = performance.now();
    const pace = (bytesPerSecond: number) =>
      monitor.execute("migrate-set-parameters", { "max-bandwidth": bytesPerSecond });
    await pace(BYTES_PER_SECOND);
    await monitor.execute("migrate", { uri: `unix:${incoming}` });
    // Much of the memory has been sent once. What the stream brings from now on lies unread in the guest's memory and
    // must come along. (A guest that clears its pages as it takes them, as Debian's kernel does, marks most of them
    // itself: that no mark of ours is missing is shown by test/core/log.test.ts.)
    await waitFor("the first half", 60_000, async () => {
      const { ram } = await progressOf(monitor);
      return ram !== undefined && ram.remaining < ram.total / 2;
    });
    await pace(BYTES_PER_SECOND / 16);
    await mover.must("kill -STOP $(pidof nc)");
    await sleep(500);
    await pace(BYTES_PER_SECOND);
    const result = await waitFor(`the migration to ${name}`, 120_000, async () => {
      const info = await progressOf(monitor);
      if (info.status === "failed") throw new Error(`the migration failed: ${JSON.stringify(info)}`);
      return info.status === "completed" ? info : undefined;
    });
    const seconds = (performance.now() - begun) / 1000;
    await mover.kill();
    mover = target;
    await mover.must("kill -CONT $(pidof nc)");
    const counter = "cat /sys/class/net/eth0/statistics/rx_bytes";
    const before = Number(await mover.must(counter));
    const goesOn = async () => Number(await mover.must(counter)) > before + MORE_BYTES;
    await waitFor("the stream to go on", 120_000, goesOn);
    await sleep(1000);
    const seen = await pings.end();
    await peer.must("touch /tmp/stop");
    await stream.result(60_000);
    const sent = await peer.must("cat /tmp/sent");
    const received = await mover.must("until [ -s /tmp/received ]; do usleep 100000; done; cat /tmp/received", 60_000);
    // One more interval than pings in a row: the last answer came just before the first of them.
    const silence = (seen.row + 1) * PING_INTERVAL_S;
    progress(
      `moved to ${name} in ${seconds.toFixed(1)} s, ` +
        `memory sent in ${result.ram?.["dirty-sync-count"]} rounds, QEMU's downtime ${result.downtime} ms, ` +
        `${seen.lost} of ${seen.sent} pings lost, silent for at most ${silence.toFixed(2)} s`,
    );
    return { sent, received, silence };
  }

  test("to another port of the same switch: the connection lives, and the silence is short", async () => {
    const { sent, received, silence } = await migrate("target", here[2]!.path);
    expect(received).toBe(sent);
    expect(silence).toBeLessThanOrEqual(SILENCE_MAX_S);
    await switches[0]!.waitForState("waiting", ["source"]);
    expect(await ping(peer, mover, 20)).toBe(20);
  });

  test("to another switch: the same", async () => {
    const { sent, received, silence } = await migrate("next", there[0]!.path);
    expect(received).toBe(sent);
    expect(silence).toBeLessThanOrEqual(SILENCE_MAX_S);
    expect((await switches[1]!.port("next")).state).toBe("running");
    await switches[0]!.waitForState("waiting", ["target"]);
    expect(await ping(peer, mover, 20)).toBe(20);
    expect(await ping(mover, peer, 20)).toBe(20);
  });
});
