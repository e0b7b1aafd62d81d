// F22 with postcopy migration: the guest goes on at its destination before its memory has come. Frames are delivered to it, and
// taken from it, out of pages that are still at the source: first at another port of the same switch, then at another
// switch. A peer pings it and sends it a TCP stream all the while.
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Guest, startGuest } from "./lib/guest.js";
import { Cable, progressOf } from "./lib/moving.js";
import { describeNeeding, type QemuKind } from "./lib/needs.js";
import { progress, scratch, waitFor } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { ping, Pings } from "./lib/traffic.js";

const PING_INTERVAL_S = 0.05;
const STREAM_PORT = 5002;
/** Slow enough that much of the memory is still at the source when the guest goes on. */
const BYTES_PER_SECOND = 16 << 20;

describeNeeding(["switch", "qemu-7.2"], "postcopy migration, QEMU 7.2", () => suite("7.2", "old"));
describeNeeding(["switch", "qemu-10"], "postcopy migration, QEMU 10", () => suite("10", "new"));

function suite(qemu: QemuKind, prefix: string): void {
  const port = (name: string) => ({ ...socketPort(`${prefix}-${name}`), options: "postcopy=true" });
  const here = ["peer", "source", "target", "cable1"].map(port);
  const there = ["next", "cable2"].map(port);
  const cable = new Cable();
  const switches: RunningSwitch[] = [];
  const guests: Guest[] = [];
  let peer: Guest;
  /** Where the guest is now. */
  let mover: Guest;

  const moverAt = (name: string, socket: string, more: readonly string[] = []): Promise<Guest> =>
    startGuest({ qemu, name: `${prefix}-${name}`, mac: "52:54:00:00:0a:01", address: "10.0.10.1/24", socket, more });

  beforeAll(async () => {
    switches.push(await startSwitch(here), await startSwitch(there));
    await cable.plug([here[3]!.path, there[1]!.path]);
    const mac = "52:54:00:00:0a:02";
    const address = "10.0.10.2/24";
    peer = await startGuest({ qemu, name: `${prefix}-peer`, mac, address, socket: here[0]!.path });
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

  async function migrate(name: string, socket: string) {
    const incoming = join(scratch, `${prefix}-${name}-incoming.sock`);
    const target = await moverAt(name, socket, ["-incoming", "defer"]);
    guests.push(target);
    const [from, to] = [await mover.qmp(), await target.qmp()];
    const capabilities = [{ capability: "postcopy-ram", state: true }];
    for (const monitor of [to, from]) await monitor.execute("migrate-set-capabilities", { capabilities });
    await to.execute("migrate-incoming", { uri: `unix:${incoming}` });
    // Both ends make a hash of the stream: a byte that is lost, doubled or changed changes it.
    const receiver = `nc -l -p ${STREAM_PORT} <>/tmp/open | sha256sum >/tmp/received`;
    await mover.must(`rm -f /tmp/received; (setsid sh -c '${receiver}') >/dev/null 2>&1 &`);
    await mover.must(`until netstat -ltn | grep -q :${STREAM_PORT}; do usleep 50000; done`);
    await peer.must("rm -f /tmp/stop");
    const send = `while [ ! -e /tmp/stop ]; do cat /tmp/block; done | tee /tmp/copy | nc ${mover.ip} ${STREAM_PORT}`;
    const stream = await peer.job(`sha256sum </tmp/copy >/tmp/sent & ${send}; wait`);
    const pings = await Pings.start(peer, mover, PING_INTERVAL_S);
    await sleep(1000);

    await from.execute("migrate-set-parameters", {
      "max-bandwidth": BYTES_PER_SECOND,
      "max-postcopy-bandwidth": BYTES_PER_SECOND,
    });
    const begun = performance.now();
    await from.execute("migrate", { uri: `unix:${incoming}` });
    await waitFor("a tenth of the memory", 60_000, async () => {
      const { ram } = await progressOf(from);
      return ram !== undefined && ram.remaining < ram.total * 0.9;
    });
    await from.execute("migrate-start-postcopy");
    const result = await waitFor(`the migration to ${name}`, 120_000, async () => {
      const info = await progressOf(from);
      if (info.status === "failed" || info.status === "postcopy-paused") {
        throw new Error(`the migration failed: ${JSON.stringify(info)}`);
      }
      return info.status === "completed" ? info : undefined;
    });
    const seconds = (performance.now() - begun) / 1000;
    await mover.kill();
    mover = target;
    await sleep(1000);
    const seen = await pings.end();
    await peer.must("touch /tmp/stop");
    await stream.result(60_000);
    const sent = await peer.must("cat /tmp/sent");
    const received = await mover.must("until [ -s /tmp/received ]; do usleep 100000; done; cat /tmp/received", 60_000);
    progress(
      `QEMU ${qemu} moved to ${name} in ${seconds.toFixed(1)} s, downtime ${result.downtime} ms, ` +
        `${result.ram?.["postcopy-requests"]} pages asked for, ${seen.lost} of ${seen.sent} pings lost, ` +
        `silent for at most ${((seen.row + 1) * PING_INTERVAL_S).toFixed(2)} s`,
    );
    return { sent, received, requests: result.ram?.["postcopy-requests"] ?? 0 };
  }

  async function moves(name: string, socket: string, target: RunningSwitch): Promise<void> {
    const { sent, received, requests } = await migrate(name, socket);
    expect(received).toBe(sent);
    // The guest did run while its memory was still at the source.
    expect(requests).toBeGreaterThan(0);
    expect((await target.port(`${prefix}-${name}`)).lastError).toBeUndefined();
    expect(await ping(peer, mover, 20)).toBe(20);
    expect(await ping(mover, peer, 20)).toBe(20);
  }

  test("a card of several queue pairs: refused when it is switched on, before anything is moved", async () => {
    const more = [
      ...["-incoming", "defer", "-chardev", `socket,id=pairs,path=${here[2]!.path}`],
      ...["-netdev", "vhost-user,id=pairs,chardev=pairs,queues=4"],
      ...["-device", "virtio-net-pci,netdev=pairs,mq=on,vectors=0,romfile="],
    ];
    const identity = { name: `${prefix}-pairs`, mac: "52:54:00:00:0a:03", address: "10.0.10.3/24" };
    const target = await startGuest({ qemu, ...identity, more });
    const capabilities = [{ capability: "postcopy-ram", state: true }];
    try {
      const monitor = await target.qmp();
      await expect(monitor.execute("migrate-set-capabilities", { capabilities })).rejects.toThrow(/postcopy/i);
      expect(switches[0]!.process.output()).toContain("QEMU can not move a card of several queue pairs");
    } finally {
      await target.kill();
    }
  });
  test("to another port of the same switch", () => moves("target", here[2]!.path, switches[0]!));
  test("to another switch", () => moves("next", there[0]!.path, switches[1]!));
}
