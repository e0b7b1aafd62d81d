// Makes test/vhost-user/transcripts anew (`npm run transcripts`): real front-ends on a switch that records them. What
// belongs to this machine and moment alone is left out. `npm test` replays the files to the session of the day.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { parseTranscript } from "../../src/vhost-user/transcript.js";
import { replay, transcriptText } from "../vhost-user/replay.js";
import { startGuest } from "./lib/guest.js";
import { describeNeeding, type QemuKind, qemuFiles } from "./lib/needs.js";
import { plugNic } from "./lib/nic.js";
import { progress, scratch, start, waitFor } from "./lib/process.js";
import { type RunningSwitch, type SwitchPort, socketPort, startSwitch } from "./lib/switch.js";
import { startTestpmd } from "./lib/testpmd.js";

const target = fileURLToPath(new URL("../vhost-user/transcripts", import.meta.url));
const mac = "52:54:00:00:00:01";

/** Runs `play` on a switch with these ports and keeps the transcript of each port, whose name is the file's. */
async function record(names: readonly string[], play: (bridge: RunningSwitch, ports: SwitchPort[]) => Promise<void>) {
  const folder = join(scratch, `record-${names[0]}`);
  const ports = names.map((name) => socketPort(name));
  const bridge = await startSwitch(ports, ["--record", folder]);
  await play(bridge, ports);
  await bridge.waitForState("waiting", names);
  expect(await bridge.stop()).toBe("exited with status 0");
  mkdirSync(target, { recursive: true });
  for (const name of names) {
    const [file, ...more] = readdirSync(folder).filter((candidate) => candidate.startsWith(`${name}-2`));
    expect(more, `${name}: one connection`).toEqual([]);
    const { head, lines } = parseTranscript(readFileSync(join(folder, file!), "utf8"));
    const { pid: _, ...kept } = head;
    const text = transcriptText([kept, ...lines]);
    expect(text, "no path of this machine").not.toMatch(/"\/|\/(tmp|dev|home|root)\//);
    expect(replay(text)).toBe(text);
    writeFileSync(join(target, `${name}.jsonl`), text);
    progress(`${name}: ${lines.length} lines`);
  }
}

for (const kind of ["7.2", "10"] as const) {
  describeNeeding(["switch", `qemu-${kind}`], `QEMU ${kind}`, () => {
    const name = `qemu-${kind}`;
    test("a guest boots, is reset and boots again", async () => {
      await record([name], async (bridge, [port]) => {
        const guest = await startGuest({ qemu: kind, name, mac, address: "10.0.0.1/24", socket: port!.path });
        await guest.booted();
        await bridge.waitForState("running", [name]);
        await guest.must("ping -c 1 -W 1 10.0.0.2; true");
        await guest.reboot();
        await bridge.waitForState("running", [name]);
        await guest.kill();
      });
    });

    test("firmware boots from the network", async () => {
      await record([`ipxe-${kind}`], async (bridge, [port]) => {
        const firmware = startFirmware(kind, port!.path);
        const asked = async () => (await bridge.port(port!.name)).rxFrames > 0;
        await waitFor("the firmware's first DHCP request", 120_000, asked, [firmware]);
        await firmware.end("SIGTERM");
      });
    });
  });
}

describeNeeding(["switch", "qemu-10", "guest-tools"], "QEMU 10, while it runs", () => {
  test("a guest with packed rings boots and is stopped in the middle of a round", async () => {
    await record(["qemu-10-packed"], async (bridge, [port]) => {
      const place = { mac, address: "10.0.0.1/24", socket: port!.path, device: ["packed=on"] };
      const guest = await startGuest({ qemu: "10", name: "packed", ...place });
      await guest.booted();
      await bridge.waitForState("running", [port!.name]);
      await guest.must("ping -c 3 -W 1 10.0.0.2; true");
      const qmp = await guest.qmp();
      for (const command of ["stop", "cont"]) await qmp.execute(command);
      await bridge.waitForState("running", [port!.name]);
      await guest.kill();
    });
  });

  test("a guest that cannot announce itself is migrated from one port to another", async () => {
    const names = ["qemu-10-source", "qemu-10-destination"];
    await record(names, async (bridge, [from, to]) => {
      const place = { mac, address: "10.0.0.1/24", device: ["guest_announce=off"] };
      const uri = `unix:${join(scratch, "migration.sock")}`;
      const source = await startGuest({ qemu: "10", name: "source", ...place, socket: from!.path });
      await source.booted();
      // So that the rings are somewhere else than at their beginning.
      await source.must("ping -c 3 -W 1 10.0.0.2; true");
      const more = ["-incoming", uri];
      const destination = await startGuest({ qemu: "10", name: "destination", ...place, socket: to!.path, more });
      const qmp = await source.qmp();
      await waitFor("the destination to wait for the migration", 30_000, async () => {
        return existsSync(join(scratch, "migration.sock"));
      });
      await qmp.execute("migrate-set-capabilities", { capabilities: [{ capability: "events", state: true }] });
      await qmp.execute("migrate", { uri });
      await qmp.event("MIGRATION", { status: "completed" });
      await bridge.waitForState("running", [to!.name]);
      await destination.kill();
      await source.kill();
    });
  });

  test("its queues change, its link goes and comes, memory is plugged in and out, it is stopped and continued", async () => {
    await record(["qemu-10-changes"], async (bridge, [port]) => {
      const more = ["-m", "160M,slots=1,maxmem=256M"];
      const place = { mac, address: "10.0.0.1/24" };
      const guest = await startGuest({
        qemu: "10",
        name: "changes",
        ...place,
        machine: "pc",
        programs: ["ethtool"],
        more,
      });
      await guest.booted();
      const nic = await plugNic(guest, bridge, { port: port!, queuePairs: 2 });
      for (const pairs of [1, 2]) await guest.must(`ethtool -L ${nic.name} combined ${pairs}`);
      const qmp = await guest.qmp();
      await qmp.execute("object-add", { "qom-type": "memory-backend-memfd", id: "more", size: 64 << 20, share: true });
      await qmp.human("device_add pc-dimm,id=dimm,memdev=more");
      for (const up of [false, true]) await qmp.execute("set_link", { name: nic.device, up });
      for (const command of ["stop", "cont"]) await qmp.execute(command);
      await bridge.waitForState("running", [port!.name]);
      await nic.unplug();
      await guest.kill();
    });
  });
});

/** A machine without a disk: its firmware asks the network (iPXE, a driver of virtio 0.95 or 1.0 without interrupts). */
function startFirmware(kind: QemuKind, socket: string) {
  const vectors = kind === "7.2" ? ",vectors=0" : "";
  return start(`ipxe-${kind}`, qemuFiles[kind]!, [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-m", "64M", "-boot", "n"],
    ...["-object", "memory-backend-memfd,id=m,size=64M,share=on", "-machine", "q35,accel=tcg,memory-backend=m"],
    ...["-chardev", `socket,id=net,path=${socket}`, "-netdev", "vhost-user,id=net,chardev=net"],
    ...["-device", `virtio-net-pci,netdev=net,mac=${mac}${vectors}`],
  ]);
}

describeNeeding(["switch", "testpmd"], "DPDK virtio-user", () => {
  test.each([
    ["split", 0],
    ["packed", 1],
  ])("two ports with %s rings start, pass frames, and go", async (layout, packed_vq) => {
    // A packed ring may have any size.
    const options = { packed_vq, queue_size: packed_vq === 1 ? 200 : 256 };
    const names = [`dpdk-${layout}`, `dpdk-${layout}-peer`];
    await record(names, async (bridge, ports) => {
      const pmd = startTestpmd(ports.map(({ path }, i) => ({ path, mac: `52:54:00:00:00:0${i + 1}`, options })));
      await pmd.ready();
      await pmd.command("start tx_first");
      await bridge.waitForFramesTo(names[0]!, 100);
      await pmd.command("stop");
      await pmd.quit();
    });
  });
});
