// The number of queues in use changes under load, as with `ethtool -L`: the front-end enables and disables queue pairs.

import { expect, test } from "vitest";
import { describeLinux } from "../sys/linux.js";
import { vring } from "../vhost-user/requests.js";
import { Flow } from "./support/flow.js";
import { handFrame } from "./support/hand-guest.js";
import { until } from "./support/lab.js";
import { useLab } from "./support/use-lab.js";

describeLinux("queue pairs enabled and disabled under load", () => {
  const group = useLab();

  test("F25: 1, 2, 4 and back, ten times: no frame of the pair that stays is lost, changed or late", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [sender, receiver] = [group.hand({ pairs: 4 }), group.hand({ pairs: 4 })];
    await receiver.start(lab.file(vm2));
    await sender.start(lab.file(vm1));
    const use = async (pairs: number) => {
      for (const guest of [sender, receiver]) {
        for (let index = 2; index < 8; index++) {
          await guest.expectDone("SET_VRING_ENABLE", vring(index, index < 2 * pairs ? 1 : 0));
        }
      }
    };
    await use(1);
    receiver.send(handFrame(1, 2, 60, 0));
    await until("the receiver's first frame", () => sender.receive().length > 0 || undefined);
    const drops = async () => {
      const ports = await Promise.all([lab.port(vm1), lab.port(vm2)]);
      return ports.flatMap((port) => Object.values(port.drops)).reduce((sum, count) => sum + count, 0);
    };
    // One worker steers what comes from pair 0 to pair 0, however many there are.
    const flow = new Flow(sender, receiver).go();
    for (let round = 0; round < 40; round++) {
      await use([2, 4, 2, 1][round % 4]!);
      await flow.more(10);
    }
    expect(await flow.settle(drops)).toBe(0);
    const { queues } = await lab.port(vm2);
    expect(queues.map(({ state }) => state)).toEqual([
      ...["running", "running"],
      ...Array.from({ length: 6 }, () => "disabled"),
    ]);
  });
});
