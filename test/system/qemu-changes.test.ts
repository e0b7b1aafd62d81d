// What operators and guests do to a running machine, each in the middle of a TCP stream: it goes on, and not a byte of
// it is lost or changed. The rings stop, start, move and change their size and number under the switch.
import { afterAll, beforeAll, expect, test } from "vitest";
import { VIRTIO_F_RING_RESET } from "../../assembly/spec/virtio.js";
import { type Guest, startGuest } from "./lib/guest.js";
import { describeNeeding } from "./lib/needs.js";
import { type Nic, plugNic } from "./lib/nic.js";
import { progress, waitFor } from "./lib/process.js";
import { type RunningSwitch, socketPort, startSwitch } from "./lib/switch.js";
import { bulkDuring, ping, pingUntilAnswered } from "./lib/traffic.js";

const queuePairs = 4;
const dimmMb = 128;

describeNeeding(["switch", "qemu-10", "guest-tools"], "a machine that changes under traffic", () => {
  const ports = ["sender", "changing"].map((name) => socketPort(name));
  const [senderPort, changingPort] = ports as [(typeof ports)[0], (typeof ports)[0]];
  let bridge: RunningSwitch;
  let sender: Guest;
  let changing: Guest;
  let senderNic: Nic;
  let nic: Nic;

  /** Does the steps in the middle of a stream to the changing guest; after each the stream must go on. */
  const underTraffic = async (...steps: (() => Promise<unknown>)[]): Promise<void> => {
    const { sent, received } = await bulkDuring(sender, changing, async () => {
      await flows();
      for (const step of steps) {
        await step();
        await flows();
      }
    });
    expect(sent).toMatch(/^[0-9a-f]{64}$/);
    expect(received).toBe(sent);
    expect(await ping(changing, sender, 5)).toBe(5);
    const { queues, connections } = await bridge.port(changingPort.name);
    expect(queues.filter(({ state }) => state === "broken")).toEqual([]);
    // None of this makes a new front-end.
    expect(connections).toBe(1);
  };
  const flows = () => bridge.waitForFramesTo(changingPort.name, 300);
  const runningQueues = async () =>
    (await bridge.port(changingPort.name)).queues.filter(({ state }) => state === "running").length;
  const inGuest = (command: string) => () => changing.must(command, 60_000);

  beforeAll(async () => {
    bridge = await startSwitch(ports);
    const guest = (name: string, number: number) =>
      startGuest({
        ...{ qemu: "10", machine: "pc", name, programs: ["ethtool"] },
        ...{ mac: `52:54:00:00:0c:0${number}`, address: `10.0.12.${number}/24` },
        more: ["-m", "slots=2,maxmem=1G"],
      });
    [sender, changing] = [await guest("sender", 1), await guest("changing", 2)];
    await Promise.all([sender.booted(), changing.booted()]);
    senderNic = await plugNic(sender, bridge, { port: senderPort });
    nic = await plugNic(changing, bridge, { port: changingPort, queuePairs });
  });
  afterAll(async () => {
    await sender?.kill();
    await changing?.kill();
    await bridge?.kill();
  });

  test("F25: its queues become one and four again (ethtool -L)", async () => {
    const combined = (pairs: number) => async () => {
      await changing.must(`ethtool -L ${nic.name} combined ${pairs}`);
      await waitFor(`${2 * pairs} running queues`, 20_000, async () => (await runningQueues()) === 2 * pairs);
    };
    await underTraffic(combined(1), combined(4), combined(2), combined(4));
  });

  test("its rings keep their size (ethtool -G would reset them one by one, which QEMU does not tell)", async () => {
    expect(await nic.features()).not.toContain(VIRTIO_F_RING_RESET);
    await underTraffic(async () => {
      expect((await changing.run(`ethtool -G ${nic.name} rx 64 tx 64`)).status).not.toBe(0);
    });
  });

  test("the sender's checksums and long frames go off and on (ethtool -K)", async () => {
    const offload = (words: string) => () => sender.must(`ethtool -K ${senderNic.name} ${words}`);
    await underTraffic(offload("tso off"), offload("tx off"), offload("tx on"), offload("tso on"));
    const long = await sender.must(`ethtool -k ${senderNic.name}`);
    expect(long).toMatch(/tcp-segmentation-offload: on/);
  });

  test("its link goes down and up (set_link)", async () => {
    const link = (up: boolean) => async () => (await changing.qmp()).execute("set_link", { name: nic.device, up });
    await underTraffic(async () => {
      await link(false)();
      await changing.must(`until [ $(cat /sys/class/net/${nic.name}/carrier) = 0 ]; do usleep 50000; done`);
      expect(await ping(sender, changing, 3)).toBe(0);
      await link(true)();
      await changing.must(`until [ $(cat /sys/class/net/${nic.name}/carrier) = 1 ]; do usleep 50000; done`);
    });
  });

  test("F8: it is stopped for a while and goes on (stop, cont)", async () => {
    await underTraffic(async () => {
      const qmp = await changing.qmp();
      await qmp.execute("stop");
      await bridge.waitForState("connected", [changingPort.name]);
      expect(await ping(sender, changing, 3)).toBe(0);
      await qmp.execute("cont");
      await bridge.waitForState("running", [changingPort.name]);
    });
  });

  test("F44: it gets more memory, in which its frames then lie (pc-dimm)", async () => {
    const bytes = dimmMb << 20;
    await underTraffic(async () => {
      const qmp = await changing.qmp();
      await qmp.execute("object-add", { "qom-type": "memory-backend-memfd", id: "more", size: bytes, share: true });
      await qmp.human("device_add pc-dimm,id=dimm,memdev=more");
      const blocks = "grep -l offline /sys/devices/system/memory/memory*/state";
      await changing.must(`until ${blocks}; do usleep 50000; done; for b in $(${blocks}); do echo online >$b; done`);
      const { regions } = await bridge.port(changingPort.name);
      expect(regions.map(({ size }) => size)).toContain(bytes);
    });
    // Linux takes memory for frames from the highest zone, which is the new memory alone (the old lies below 4 GiB).
    // Its receive buffers are replaced as frames come in, so it takes some traffic until they lie there.
    const taken = async () => {
      const zone = await changing.must("cat /proc/zoneinfo");
      return bytes / 4096 - Number(/zone +Normal\s+pages free +(\d+)/.exec(zone)?.[1]);
    };
    await underTraffic(() => waitFor("half a MiB of the new memory in use", 60_000, async () => (await taken()) > 128));
  });

  test("F44: it gets more memory and gives it back (device_del of a pc-dimm)", async () => {
    const bytes = dimmMb << 20;
    const regions = async () =>
      (await bridge.port(changingPort.name)).regions.filter(({ size }) => size === bytes).length;
    const before = await regions();
    const qmp = await changing.qmp();
    await underTraffic(
      async () => {
        await qmp.execute("object-add", { "qom-type": "memory-backend-memfd", id: "lent", size: bytes, share: true });
        await qmp.human("device_add pc-dimm,id=lentdimm,memdev=lent");
        // Of memory that is to be given back Linux makes use only as far as it can move what lies there.
        const blocks = "grep -l offline /sys/devices/system/memory/memory*/state";
        const online = `for b in $(${blocks}); do echo online_movable >$b; done`;
        await changing.must(`until ${blocks}; do usleep 50000; done; ${online}`);
        expect(await regions()).toBe(before + 1);
      },
      async () => {
        await qmp.execute("device_del", { id: "lentdimm" });
        await qmp.event("DEVICE_DELETED", { device: "lentdimm" }, 120_000);
        await waitFor("the region to go", 20_000, async () => (await regions()) === before);
        await qmp.execute("object-del", { id: "lent" });
      },
    );
  });

  test("F28: its driver is taken off and put back, ten times", async () => {
    const driver = "/sys/bus/virtio/drivers/virtio_net";
    const device = (await changing.must(`basename $(readlink -f /sys/class/net/${nic.name}/device)`)).trim();
    for (let round = 0; round < 10; round++) {
      await changing.must(`echo ${device} >${driver}/unbind`, 60_000);
      await changing.must(
        `echo ${device} >${driver}/bind; until [ -e /sys/class/net/${nic.name} ]; do usleep 50000; done`,
      );
      await changing.must(`ip address add ${changing.address} dev ${nic.name} && ip link set ${nic.name} up`);
      await pingUntilAnswered(sender, changing);
    }
    await underTraffic(inGuest(`ethtool -L ${nic.name} combined ${queuePairs}`));
    progress(`changes: the driver of ${device} ten times anew`);
  });
});
