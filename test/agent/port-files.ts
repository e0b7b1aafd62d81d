// Ports of Neutron as files, for tests: bound to a switch that needs no plugin.

import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The id of port number `i`; no two share their first eleven characters. */
export function portId(i: number): string {
  return `${i.toString(16).padStart(8, "0")}-${i.toString(16).padStart(4, "0").slice(-4)}-4b7c-9d3a-0f2f4d6a1b11`;
}

/** The name of its port on the switch. */
export function portName(i: number): string {
  return `tap${portId(i)}`.slice(0, 14);
}

export interface PortOptions {
  /** Folder of its socket. */
  folder?: string;
  mode?: "client" | "server";
  mtu?: number;
  /** Other keys of the port, and of its details. */
  port?: Record<string, unknown>;
  details?: Record<string, unknown>;
}

/** What `vif plug` takes. */
export function portFile(i: number, options: PortOptions = {}) {
  const { folder = "/run/vm", mode = "client", mtu, port, details } = options;
  const network = "b111ebcd-aaad-476d-9671-3746f5436eb4";
  return {
    port: {
      ...{ id: portId(i), mac_address: `fa:16:3e:00:${hex(i >> 8)}:${hex(i & 0xff)}`, network_id: network },
      "binding:vif_type": "vhostuser",
      "binding:vif_details": { vhostuser_mode: mode, vhostuser_socket: join(folder, `p${i}`), ...details },
      ...port,
    },
    network: { id: network, ...(mtu !== undefined && { mtu }) },
  };
}

function hex(value: number): string {
  return value.toString(16).padStart(2, "0");
}

/** Replaces a file as it should be done. */
export function replaceFile(path: string, value: unknown): void {
  const temporary = join(path, "..", `.${process.pid}.tmp`);
  writeFileSync(temporary, typeof value === "string" ? value : JSON.stringify(value));
  renameSync(temporary, path);
}
