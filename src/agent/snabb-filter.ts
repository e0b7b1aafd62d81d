// A security group's rules as the pcap-filter expression that Snabb NFV makes of them (neutron2snabb).

import { VifRefusal } from "../vif/refusal.js";
import type { Row } from "./snabb-tables.js";

/** The expression for one direction; undefined when no rule is of it. Throws a VifRefusal for a rule that is none. */
export function securityFilter(rules: readonly Row[], direction: "ingress" | "egress"): string | undefined {
  const lower = rules.map((rule) =>
    Object.fromEntries(Object.entries(rule).map(([key, value]) => [key, value?.toLowerCase() ?? null])),
  );
  const parts = lower.filter((rule) => rule.direction === direction).map((rule) => ruleFilter(rule, direction));
  return parts.length === 0 ? undefined : joined(parts, " or ");
}

const FAMILIES: Record<string, { ip: string; icmp: string }> = {
  ipv4: { ip: "ip", icmp: "icmp" },
  ipv6: { ip: "ip6", icmp: "icmp6" },
};

function ruleFilter(rule: Row, direction: "ingress" | "egress"): string {
  const family = FAMILIES[rule.ethertype ?? ""];
  if (family === undefined) throw new VifRefusal(`a rule of its security group has the ethertype "${rule.ethertype}"`);
  const { protocol, port_range_min, port_range_max, remote_ip_prefix } = rule;
  const parts = [family.ip];
  if (protocol === "tcp" || protocol === "udp") parts.push(protocol);
  if (protocol === "icmp") parts.push(family.icmp);
  const [least, most] = [port_range_min ?? port_range_max, port_range_max ?? port_range_min];
  if (least != null) parts.push(`dst portrange ${least}-${most}`);
  if (remote_ip_prefix != null) parts.push(`${direction === "ingress" ? "src" : "dst"} net ${remote_ip_prefix}`);
  const filter = joined(parts, " and ");
  // ARP is let through with any IPv4.
  return rule.ethertype === "ipv4" ? `(arp or ${filter})` : filter;
}

function joined(parts: string[], word: string): string {
  return parts.length === 1 ? parts[0]! : `(${parts.join(word)})`;
}
