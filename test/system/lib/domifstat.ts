// What virsh domifstat says of an interface, which is the guest's view: what it sent came in at the switch's port.
import type { PortStatus } from "../../../src/api/status.js";
import type { Libvirt } from "./libvirt.js";
import { waitFor } from "./process.js";
import type { RunningSwitch } from "./switch.js";

type Counters = Record<string, string>;

/** The counters of a domain's interface, by virsh's names. */
export async function domifstat(libvirt: Libvirt, domain: string, nic: string): Promise<Counters> {
  const lines = (await libvirt.virsh("domifstat", domain, nic)).trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split(/\s+/).slice(1)));
}

/** Waits until they are what the status of the switch says of the port of the same name. */
export async function domifstatAgrees(
  libvirt: Libvirt,
  domain: string,
  nic: string,
  bridge: RunningSwitch,
): Promise<void> {
  // A frame may pass between the two questions; not between each of many pairs of them.
  await waitFor(`domifstat of ${domain} to equal the status`, 20_000, async () => {
    const [shown, status] = [await domifstat(libvirt, domain, nic), guestsView(await bridge.port(nic))];
    return JSON.stringify(shown) === JSON.stringify(status);
  });
}

function guestsView({ rxBytes, rxFrames, txBytes, txFrames, queues }: PortStatus): Counters {
  const drops = (kind: string) =>
    queues
      .filter((queue) => queue.kind === kind)
      .flatMap((queue) => Object.values(queue.drops))
      .reduce((sum, count) => sum + count, 0);
  const received = { rx_bytes: txBytes, rx_packets: txFrames, rx_errs: 0, rx_drop: drops("receiveq") };
  const sent = { tx_bytes: rxBytes, tx_packets: rxFrames, tx_errs: 0, tx_drop: drops("transmitq") };
  return Object.fromEntries(Object.entries({ ...received, ...sent }).map(([key, value]) => [key, String(value)]));
}
