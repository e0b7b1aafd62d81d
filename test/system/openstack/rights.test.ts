// The users of a host: the switch and libvirt's QEMU are two, and what they share is a group. Everything here runs as
// users without a name; QEMU's firmware drives the card, so no guest image has to be readable.
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeNeeding } from "../lib/needs.js";
import { type Child, type Credentials, scratch, start, waitFor } from "../lib/process.js";
import { type RunningSwitch, startSwitch } from "../lib/switch.js";

const GROUP = 64_200;
const FOREIGN_GROUP = 64_201;
const operator: Credentials = { uid: 64_101, gid: 64_101, groups: [GROUP], umask: 0o077 };
/** As libvirt starts QEMU: its own user, the shared group, umask 0002. */
const qemuUser: Credentials = { uid: 64_055, gid: GROUP, groups: [], umask: 0o002 };
const stranger: Credentials = { uid: 64_103, gid: FOREIGN_GROUP, groups: [], umask: 0o022 };

const emulator = "/usr/bin/qemu-system-x86_64";

/** A QEMU without a guest: the card's boot ROM asks for an address, and so there are frames. */
function startQemu(name: string, chardev: string, as: Credentials): Child {
  return start(
    name,
    emulator,
    [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-m", "64M"],
      ...["-object", "memory-backend-memfd,id=m,size=64M,share=on", "-machine", "q35,accel=tcg,memory-backend=m"],
      ...["-chardev", `socket,id=c,${chardev}`, "-netdev", "vhost-user,id=n,chardev=c"],
      ...["-device", "virtio-net-pci,netdev=n,bootindex=0,mac=52:54:00:00:08:01"],
    ],
    as,
  );
}

/** Why this user may not connect to the socket; undefined when it may. */
async function refusedFor(as: Credentials, path: string): Promise<string | undefined> {
  const script = `require("node:net").connect(process.argv[1]).on("connect",()=>process.exit(0)).on("error",(e)=>{console.log(e.code);process.exit(1)})`;
  const child = start("connect", process.execPath, ["-e", script, path], as);
  await waitFor("the answer", 20_000, () => child.ended !== undefined);
  return /^E[A-Z]+$/m.exec(child.output())?.[0];
}

describeNeeding(["switch", "qemu-7.2", "root"], "rights: the switch, QEMU and others are different users", () => {
  const folder = join(scratch, "vhost");
  let bridge: RunningSwitch | undefined;
  let qemu: Child | undefined;

  beforeAll(() => {
    // Others must get to the folder, and write their logs and control sockets beside it.
    chmodSync(scratch, 0o1777);
  });
  afterAll(async () => {
    await qemu?.end("SIGKILL");
    await bridge?.kill();
  });

  async function runSwitch(as: Credentials, port: Record<string, unknown>): Promise<RunningSwitch> {
    const file = join(scratch, "rights.json");
    writeFileSync(file, JSON.stringify({ ports: { vm1: port } }));
    chmodSync(file, 0o644);
    return startSwitch([], [file], { as });
  }

  test("mode client: a socket with mode 0660 and the group of QEMU is open to QEMU, and to no stranger", async () => {
    mkdirSync(folder);
    chownSync(folder, operator.uid, GROUP);
    chmodSync(folder, 0o755);
    const path = join(folder, "client");
    bridge = await runSwitch(operator, { listen: path, mode: "0660", group: String(GROUP) });
    const { mode, uid, gid } = statSync(path);
    expect([mode & 0o777, uid, gid]).toEqual([0o660, operator.uid, GROUP]);
    expect(await refusedFor(stranger, path)).toBe("EACCES");
    qemu = startQemu("qemu-client", `path=${path}`, qemuUser);
    await bridge.waitForState("running", ["vm1"]);
    const frames = async () => (await bridge!.port("vm1")).rxFrames > 0;
    await waitFor("frames of the firmware", 60_000, frames, [qemu]);
    await qemu.end("SIGKILL");
  });

  test("without mode and group QEMU's user is refused", async () => {
    await bridge!.stop();
    const path = join(folder, "closed");
    bridge = await runSwitch({ ...operator, umask: 0o022 }, { listen: path });
    expect(statSync(path).mode & 0o777).toBe(0o755);
    expect(await refusedFor(qemuUser, path)).toBe("EACCES");
    expect((await bridge.port("vm1")).connections).toBe(0);
  });

  test("a group that the switch's user is not in is refused in words", async () => {
    await bridge!.stop();
    await expect(
      runSwitch(operator, { listen: join(folder, "foreign"), mode: "0660", group: String(FOREIGN_GROUP) }),
    ).rejects.toThrow();
  });

  test("mode server: QEMU's socket, made with libvirt's umask in a folder of the group, is open to the switch", async () => {
    // Set-group-ID: what QEMU makes there belongs to the group, whichever group QEMU has.
    chmodSync(folder, 0o2770);
    const path = join(folder, "server");
    qemu = startQemu("qemu-server", `path=${path},server=on`, qemuUser);
    bridge = await runSwitch(operator, { connect: path });
    await bridge.waitForState("running", ["vm1"]);
    expect(statSync(path).mode & 0o777).toBe(0o775);
    const frames = async () => (await bridge!.port("vm1")).rxFrames > 0;
    await waitFor("frames of the firmware", 60_000, frames, [qemu]);
    await bridge.stop();

    bridge = await runSwitch({ ...operator, groups: [] }, { connect: path });
    const said = await waitFor("the status to say why not", 20_000, async () => (await bridge!.port("vm1")).lastError);
    expect(said).toMatch(/EACCES.*the switch's user needs write permission on the socket and search on its folders/);
  });
});
