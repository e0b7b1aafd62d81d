// What a hand has put wrong, as it stands after each fault.

import type { Fault, FaultLogic } from "./log.js";

export function faultsAfter(faults: FaultLogic, fault: Fault): FaultLogic {
  if (fault.fault === "hold-store") return { ...faults, hold: replaced(faults.hold, fault.guest, fault.accesses) };
  if (fault.fault === "lose-kick") return { ...faults, loseKick: replaced(faults.loseKick, fault.guest, true) };
  if (fault.fault === "lose-call") return { ...faults, loseCall: replaced(faults.loseCall, fault.guest, true) };
  if (fault.fault === "skip-recheck") return { ...faults, skipRecheck: fault.skip };
  return faults;
}

/** The list with another item at that place. */
export function replaced<T>(list: readonly T[], at: number, by: T): T[] {
  return list.map((item, i) => (i === at ? by : item));
}
