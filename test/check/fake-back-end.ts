// A small vhost-user back-end in this process that does right what the cases of its tests ask for, but for the faults that
// it is given. It is no example: it believes what it is told.

import { unlinkSync } from "node:fs";
import { closeFd } from "../../src/sys/memfd.js";
import { Reactor, type Watch } from "../../src/sys/reactor.js";
import { acceptUnix, listenUnix, receive, send } from "../../src/sys/socket.js";
import type { Fd } from "../../src/vhost-user/effects.js";
import { Framer } from "../../src/vhost-user/framing.js";
import {
  encodeMessage,
  FLAG_NEED_REPLY,
  FLAG_REPLY,
  messageByNumber,
  type MessageName,
  type WireMessage,
} from "../../src/vhost-user/message.js";
import { decodePayload, type Payload } from "../../src/vhost-user/payload.js";
import { type DeviceFaults, FakeDevice } from "./fake-device.js";

const FEATURES = (1n << 32n) | (1n << 30n);
const REPLY_ACK = 1n << 3n;
const TURN_MS = 1;

export interface Faults extends DeviceFaults {
  /** Flags of replies, instead of 0x5. */
  replyFlags?: number;
  /** Replies have four bytes too few. */
  shortReplies?: boolean;
  /** Offers REPLY_ACK and acknowledges nothing. */
  forgetsAcks?: boolean;
  /** Acknowledges everything, asked or not. */
  acksAll?: boolean;
  /** Everything is acknowledged as done. */
  refusesNothing?: boolean;
  /** The request that ends it: all its sockets are gone. */
  crashesOn?: MessageName | number;
  /** The request after which it says nothing more, to anybody. */
  hangsOn?: MessageName;
  /** Closes the connection of a driver without VERSION_1. */
  modernOnly?: boolean;
  /** Says that what it refuses is done, and closes the connection. */
  leaves?: boolean;
  /** Offers something else every time. */
  changesFeatures?: boolean;
  /** Descriptors of what it refuses stay open. */
  keepsRefused?: boolean;
  /** While the first guest sends, the others' queues are not looked at. */
  starves?: boolean;
}

type Reply = Payload | "done" | "refused" | "close";

export class FakeBackEnd {
  private readonly reactor = new Reactor();
  private readonly listeners: { fd: Fd; watch: Watch }[] = [];
  private readonly devices: FakeDevice[] = [];
  private readonly connections = new Set<FakeConnection>();
  private readonly timer: NodeJS.Timeout;
  private offers = 0n;
  hung = false;

  constructor(
    readonly sockets: string[],
    readonly faults: Faults = {},
  ) {
    for (const [port, path] of sockets.entries()) {
      const device = new FakeDevice(faults);
      this.devices.push(device);
      const fd = listenUnix(path);
      const readable = () => {
        for (let accepted = acceptUnix(fd); accepted !== null; accepted = acceptUnix(fd)) {
          this.connections.add(new FakeConnection(accepted, this, this.devices[port]!, this.reactor));
        }
      };
      this.listeners.push({ fd, watch: this.reactor.watch(fd, { readable }) });
    }
    this.timer = setInterval(() => this.turn(), TURN_MS);
  }

  /** What GET_FEATURES says. */
  offer(): bigint {
    if (this.faults.changesFeatures) this.offers ^= 1n << 15n;
    return FEATURES | this.offers;
  }

  left(connection: FakeConnection): void {
    this.connections.delete(connection);
  }

  /** As a crash: everything is gone at once. */
  close(): void {
    clearInterval(this.timer);
    for (const connection of [...this.connections]) connection.close();
    for (const { fd, watch } of this.listeners.splice(0)) {
      watch.stop();
      closeFd(fd);
    }
    for (const path of this.sockets) unlinkIfThere(path);
    void this.reactor.close();
  }

  private turn(): void {
    if (this.hung) return;
    for (const device of this.devices) {
      const frames = device.sent();
      for (const frame of frames) for (const other of this.devices) if (other !== device) other.deliver(frame);
      if (this.faults.starves && frames.length > 0) return;
    }
  }
}

class FakeConnection {
  private readonly framer = new Framer("requests");
  private readonly watch: Watch;
  private acks = false;
  private open = true;

  constructor(
    private readonly fd: Fd,
    private readonly owner: FakeBackEnd,
    private readonly device: FakeDevice,
    reactor: Reactor,
  ) {
    this.watch = reactor.watch(fd, { readable: () => this.read() });
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.watch.stop();
    closeFd(this.fd);
    this.device.reset();
    this.owner.left(this);
  }

  private read(): void {
    while (this.open && !this.owner.hung) {
      const buffer = new Uint8Array(this.framer.wanted);
      let received: ReturnType<typeof receive>;
      try {
        received = receive(this.fd, buffer);
      } catch {
        this.close();
        return;
      }
      if (received === "again") return;
      if (received.bytes === 0) {
        this.close();
        return;
      }
      const { messages, fault } = this.framer.push(
        buffer.subarray(0, received.bytes),
        received.fds,
        received.truncated,
      );
      for (const message of messages) this.take(message);
      if (fault) {
        for (const fd of fault.fds) closeFd(fd);
        this.close();
        return;
      }
    }
  }

  private take(message: WireMessage): void {
    const { faults } = this.owner;
    const spec = messageByNumber(message.request);
    if (faults.crashesOn === message.request || (spec && faults.crashesOn === spec.name)) {
      this.owner.close();
      return;
    }
    if (spec && faults.hangsOn === spec.name) {
      this.owner.hung = true;
      return;
    }
    const payload =
      spec === undefined || spec.payload === "opaque" ? undefined : decodePayload(spec.payload, message.payload);
    if (payload?.kind === "bad" && payload.closes) {
      this.close();
      return;
    }
    const bad = payload === undefined || payload.kind === "bad";
    const reply = bad ? "refused" : this.carryOut(spec!.name, payload, message.fds);
    const kept = reply === "done" && ["SET_MEM_TABLE", "SET_VRING_CALL"].includes(spec!.name);
    const leaked = reply === "refused" && faults.keepsRefused;
    if (!kept && !leaked) for (const fd of message.fds) closeFd(fd);
    if (reply === "close") {
      this.close();
      return;
    }
    if (typeof reply === "object") {
      this.answer(message.request, reply);
      return;
    }
    const asked = (message.flags & FLAG_NEED_REPLY) !== 0 && this.acks && !faults.forgetsAcks;
    const value = reply === "done" || faults.refusesNothing || faults.leaves ? 0n : 1n;
    if (asked || faults.acksAll) this.answer(message.request, { kind: "u64", value });
    if (reply === "refused" && faults.leaves) this.close();
  }

  private carryOut(name: MessageName, payload: Payload, fds: readonly Fd[]): Reply {
    const ring = "index" in payload ? this.device.rings[payload.index] : undefined;
    switch (name) {
      case "GET_FEATURES":
        return { kind: "u64", value: this.owner.offer() };
      case "GET_PROTOCOL_FEATURES":
        return { kind: "u64", value: REPLY_ACK };
      case "SET_PROTOCOL_FEATURES":
        this.acks = payload.kind === "u64" && (payload.value & REPLY_ACK) !== 0n;
        return "done";
      case "SET_FEATURES":
        if (this.owner.faults.modernOnly && payload.kind === "u64" && (payload.value & (1n << 32n)) === 0n)
          return "close";
        return payload.kind === "u64" && (payload.value & ~FEATURES) === 0n ? "done" : "refused";
      case "SET_OWNER":
        return "done";
      case "SET_MEM_TABLE":
        if (payload.kind !== "memTable" || fds.length !== payload.regions.length) return "refused";
        if (payload.regions.some(({ size, guestAddress }) => size === 0n || guestAddress + size > 1n << 63n))
          return "refused";
        this.device.map(payload.regions, fds);
        return "done";
      case "GET_VRING_BASE":
        if (payload.kind !== "vringState" || !ring) return "close";
        ring.started = false;
        return { kind: "vringState", index: payload.index, num: ring.next };
    }
    if (!ring) return "refused";
    if (payload.kind === "vringState") {
      if (name === "SET_VRING_NUM") {
        if (payload.num < 2 || payload.num > 32_768 || (payload.num & (payload.num - 1)) !== 0) return "refused";
        ring.size = payload.num;
      } else if (name === "SET_VRING_BASE") ring.next = payload.num;
      else if (name === "SET_VRING_ENABLE") ring.enabled = payload.num === 1;
      else return "refused";
      return "done";
    }
    if (payload.kind === "vringAddr") {
      ring.addresses = { desc: payload.desc, avail: payload.avail, used: payload.used };
      return "done";
    }
    if (payload.kind !== "vringFd" || (fds.length === 0) !== payload.noFd) return "refused";
    if (name === "SET_VRING_CALL") {
      if (ring.call !== undefined) closeFd(ring.call);
      ring.call = fds[0];
    }
    if (name === "SET_VRING_KICK") ring.started = true;
    return "done";
  }

  private answer(request: number, payload: Payload): void {
    const { replyFlags, shortReplies } = this.owner.faults;
    const bytes = encodeMessage(request, FLAG_REPLY, payload);
    const view = new DataView(bytes.buffer);
    if (replyFlags !== undefined) view.setUint32(4, replyFlags, true);
    if (shortReplies) view.setUint32(8, view.getUint32(8, true) - 4, true);
    try {
      send(this.fd, shortReplies ? bytes.subarray(0, bytes.length - 4) : bytes);
    } catch {
      this.close(); // Whoever asked has left.
    }
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Its crash has removed it.
  }
}
