// What a port does for the live migration of its guest: it keeps the dirty log mapped, and sends and takes its state.

import { VHOST_F_LOG_ALL } from "../../assembly/spec/virtio.js";
import type { Bridge } from "../core/bridge.js";
import type { BridgePort } from "../core/bridge-port.js";
import { bits } from "../core/feature-bits.js";
import { adoptNotifier, signal } from "../sys/eventfd.js";
import type { DirtyLog, Fd } from "../vhost-user/effects.js";
import type { GuestMemory, Mapping } from "./guest-memory.js";
import { loadPortState, PORT_STATE_BYTES_MAX, savePortState } from "./port-state.js";
import { StateTransfer } from "./state-transfer.js";

const LOG_ALL = bits(VHOST_F_LOG_ALL);

export class PortMigration {
  private log: Mapping | undefined;
  /** Of SET_LOG_FD. */
  private logFd: Fd | null = null;
  private transfer: StateTransfer | undefined;

  constructor(
    private readonly bridge: Bridge,
    private readonly port: BridgePort,
    private readonly memory: GuestMemory,
  ) {}

  /** Takes a new dirty log in the place of the old one, or none. One that cannot be mapped changes nothing and throws. */
  async setLog(log: DirtyLog | null): Promise<void> {
    const old = this.log;
    this.log = log === null ? undefined : this.memory.mapFile(log, "the dirty log");
    await this.publishLog();
    if (old !== undefined) await this.memory.unmap(old);
  }

  /** VHOST_F_LOG_ALL was set or cleared while rings run. */
  async setLogging(enabled: boolean): Promise<void> {
    const { features } = this.port;
    this.port.features = enabled ? features | LOG_ALL : features & ~LOG_ALL;
    await this.publishLog();
  }

  /** When this is done every write to the guest's memory is marked in the log, or none, as the features say. */
  async publishLog(): Promise<void> {
    const logging = (this.port.features & LOG_ALL) !== 0n;
    await this.bridge.setLog(this.port, logging ? this.log : undefined);
    // What was marked and not told when the log changed.
    this.tellOfOwnMarks();
  }

  /** Marks are told by this eventfd from now on, or not any more: when this is done the one before is no longer used. */
  async setLogFd(fd: Fd | null): Promise<void> {
    this.logFd = fd;
    this.port.logWatched = fd !== null;
    await this.publishLog();
  }

  /** Signals the descriptor of SET_LOG_FD, if there is one and pages are marked at all. */
  tellOfOwnMarks(): void {
    if (this.logFd === null || this.port.log === undefined) return;
    // Its front-end shares the flag that keeps this thread from waiting, and may have taken it away.
    adoptNotifier(this.logFd);
    signal(this.logFd);
  }

  /** Begins to write the port's state to the descriptor, or to read one. Throws when it is no pipe or socket. */
  transferState(direction: "save" | "load", fd: Fd): void {
    this.abortTransfer();
    const { bridge, port } = this;
    this.transfer =
      direction === "save"
        ? StateTransfer.save(fd, savePortState(bridge, port, seconds()))
        : StateTransfer.load(fd, PORT_STATE_BYTES_MAX, (bytes) => loadPortState(bridge, port, bytes, seconds()));
  }

  /** Waits for the transfer's end. Rejects with a sentence when it did not go well. */
  async finishTransfer(): Promise<void> {
    await this.transfer?.finish();
  }

  abortTransfer(): void {
    this.transfer?.abort();
    this.transfer = undefined;
  }
}

/** The FDB's clock. */
function seconds(): number {
  return process.hrtime()[0];
}
