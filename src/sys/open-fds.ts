// How many descriptors and mappings this process holds: for leak tests and the operator's doctor.

import { readdirSync, readFileSync } from "node:fs";

/** Open descriptors of this process, the one that looks not counted. */
export function countOpenFds(): number {
  return readdirSync("/proc/self/fd").length - 1;
}

/**
 * Mappings of this process (vm.max_map_count limits them), or only those that lie in an address range.
 * @param range addresses, end excluded
 */
export function countMappings(range?: { from: bigint; to: bigint }): number {
  const lines = readFileSync("/proc/self/maps", "latin1").trimEnd().split("\n");
  if (range === undefined) return lines.length;
  return lines.filter((line) => {
    const [start, end] = line.slice(0, line.indexOf(" ")).split("-");
    return BigInt(`0x${start}`) < range.to && BigInt(`0x${end}`) > range.from;
  }).length;
}
