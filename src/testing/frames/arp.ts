// ARP for IPv4 over Ethernet (RFC 826).

import { concat } from "../bytes.js";
import { ip4Bytes, macBytes, type Station } from "./address.js";
import { ETHERTYPE_ARP, ethernet } from "./ethernet.js";

const ETHERNET_IPV4 = [0, 1, 8, 0, 6, 4];

/** "Who has that address?", to everybody. `to` with the asker's own address is a gratuitous one. */
export function arpRequest({ from, to }: { from: Station; to: Pick<Station, "ip4"> }): Uint8Array {
  return arp(1, from, { mac: "00:00:00:00:00:00", ip4: to.ip4 }, "broadcast");
}

/** "It is at my MAC address." */
export function arpReply({ from, to }: { from: Station; to: Station }): Uint8Array {
  return arp(2, from, to, to);
}

function arp(operation: number, from: Station, target: Station, to: Station | "broadcast"): Uint8Array {
  const payload = concat([
    Uint8Array.from([...ETHERNET_IPV4, 0, operation]),
    macBytes(from.mac),
    ip4Bytes(from.ip4 ?? ""),
    macBytes(target.mac),
    ip4Bytes(target.ip4 ?? ""),
  ]);
  return ethernet({ from, to, type: ETHERTYPE_ARP, payload });
}
