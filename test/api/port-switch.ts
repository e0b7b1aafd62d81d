// A switch that is nothing but its ports, behind a real control socket: for whatever plugs ports.

import { isDeepStrictEqual } from "node:util";
import { type ChangeableSwitch, LivePorts } from "../../src/api/live-ports.js";
import { type ControlServer, startControlServer } from "../../src/api/control-server.js";
import type { PortChange, PortStatus, ReloadResult } from "../../src/api/status.js";
import { loadConfig } from "../../src/config/load.js";
import type { PortConfig } from "../../src/config/schema.js";
import { FakeControl, waitingPort } from "./fake-control.js";

export class PortSwitch extends FakeControl implements ChangeableSwitch {
  readonly configs = new Map<string, PortConfig>();
  /** Ports that have been made or changed, and that went, in order. */
  readonly changes: string[] = [];
  /** Sockets that cannot be had. */
  readonly taken = new Set<string>();
  private server: ControlServer | undefined;
  override ports: PortStatus[] = [];

  /** A switch whose control socket is at `path`. */
  static async start(path: string): Promise<PortSwitch> {
    const made = new PortSwitch();
    const config = loadConfig({ flags: { control: path } });
    const ports = new LivePorts(made, config, undefined);
    made.plug = (...words) => ports.plug(...words);
    made.unplug = (...words) => ports.unplug(...words);
    made.server = await startControlServer({
      path,
      control: {
        ...{ status: () => ports.status(), fdb: () => made.fdb(), flushFdb: () => 0, reload: () => ports.reload() },
        ...{ capture: (options) => made.capture(options), stopCapture: () => made.stopCapture() },
        ...{ plug: made.plug, unplug: made.unplug },
      },
    });
    return made;
  }

  close(): Promise<void> {
    return this.server!.close();
  }

  async setPort(port: PortConfig): Promise<PortChange> {
    const old = this.configs.get(port.name);
    if (isDeepStrictEqual(old, port)) return "unchanged";
    if (this.taken.has(port.path)) throw new Error(`${port.path}: process 1 listens here; stop it`);
    this.configs.set(port.name, port);
    const status = this.ports.find(({ name }) => name === port.name) ?? waitingPort(port.name, this.ports.length);
    const { role, path, mtu, adminStateUp = true } = port;
    Object.assign(status, { role, path, mtu, adminStateUp });
    if (old === undefined) this.ports.push(status);
    this.changes.push(`+${port.name}`);
    return old === undefined ? "added" : "changed";
  }

  async removePort(name: string): Promise<boolean> {
    this.ports = this.ports.filter((port) => port.name !== name);
    this.changes.push(`-${name}`);
    return this.configs.delete(name);
  }

  applyConfig(): Promise<ReloadResult> {
    return Promise.reject(new Error("there is no file"));
  }
}
