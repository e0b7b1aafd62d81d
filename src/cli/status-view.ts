// What `ringbridge status` shows: one or two snapshots in, text out.

import type { PortStatus, QueueStatus, SwitchStatus, WorkerStatus } from "../api/status.js";
import { dropCause } from "../core/causes.js";
import { type Column, formatBytes, formatCount, formatDuration, formatRate, indent, renderTable } from "./table.js";

/** Frames and bits per second of one port. */
export interface PortRates {
  rxFrames: number;
  rxBits: number;
  txFrames: number;
  txBits: number;
}

/**
 * Rates between two snapshots, by port name. A port that was made, or made again, in between has none.
 */
export function portRates(before: SwitchStatus, after: SwitchStatus): Map<string, PortRates> {
  const rates = new Map<string, PortRates>();
  const seconds = (after.takenAtMs - before.takenAtMs) / 1000;
  if (!(seconds > 0)) return rates;
  for (const now of after.ports) {
    const then = before.ports.find(({ name }) => name === now.name);
    if (then === undefined || then.id !== now.id || now.rxFrames < then.rxFrames || now.txFrames < then.txFrames)
      continue;
    rates.set(now.name, {
      rxFrames: (now.rxFrames - then.rxFrames) / seconds,
      rxBits: ((now.rxBytes - then.rxBytes) * 8) / seconds,
      txFrames: (now.txFrames - then.txFrames) / seconds,
      txBits: ((now.txBytes - then.txBytes) * 8) / seconds,
    });
  }
  return rates;
}

/** The whole picture: switch, workers, a table of ports, then each port by itself. Ends with a newline. */
export function renderStatus(status: SwitchStatus, rates: ReadonlyMap<string, PortRates>): string {
  const blocks = [header(status), workers(status), ports(status.ports, rates), ...status.ports.map(portDetail)];
  return `${blocks.filter(Boolean).join("\n\n")}\n`;
}

function header(status: SwitchStatus): string {
  const { memory, fdb } = status;
  const frames = `process ${status.pid}, up ${formatDuration(status.uptimeMs)}, core ${status.wasmHash}`;
  const used = `${formatBytes(memory.windowBytesUsed)} of ${formatBytes(memory.totalBytes)} hold guest memory`;
  const table = `${fdb.entries} of ${fdb.limit} addresses, forgotten after ${fdb.ageingSeconds} s`;
  const events = `${formatCount(fdb.learned)} learned, ${formatCount(fdb.moved)} moved, ${formatCount(fdb.aged)} aged`;
  const refused =
    fdb.refused > 0 ? `, ${formatCount(fdb.refused)} refused (table or a port's share of it is full)` : "";
  const web =
    status.web === undefined ? "" : `\nlive page: ${status.web} (the switch printed the token when it started)`;
  return `ringbridge ${status.version}: ${frames}\nmemory: ${used}\nfdb: ${table}; ${events}${refused}${web}`;
}

const right = (title: string): Column => ({ title, align: "right" });

function workers(status: SwitchStatus): string {
  return [workerTable(status), ...status.workers.flatMap(chunks)].join("\n");
}

/** What a worker does for guests too large to be mapped whole, when there are any. */
function chunks(worker: WorkerStatus): string[] {
  if (worker.chunkMisses === 0) return [];
  const windows = `${worker.chunkWindowsUsed} of ${worker.chunkWindows} windows in use`;
  const each = (worker.chunkMissNanoseconds / worker.chunkMisses / 1000).toFixed(1);
  return [`chunks of worker ${worker.id}: ${windows}, mapped ${formatCount(worker.chunkMisses)} times at ${each} µs`];
}

function workerTable(status: SwitchStatus): string {
  return renderTable(
    [{ title: "WORKER" }, { title: "STATE" }, right("QUEUES"), right("FRAMES"), right("POLLS"), right("PARKS")],
    status.workers.map((worker) => [
      worker.id,
      worker.state,
      worker.queues,
      formatCount(worker.frames),
      formatCount(worker.polls),
      formatCount(worker.parks),
    ]),
  );
}

function ports(list: readonly PortStatus[], rates: ReadonlyMap<string, PortRates>): string {
  if (list.length === 0) return "no ports";
  return renderTable(
    [
      { title: "PORT" },
      { title: "STATE" },
      { title: "FOR" },
      right("RX FRAMES"),
      right("RX RATE"),
      right("RX BITS"),
      right("TX FRAMES"),
      right("TX RATE"),
      right("TX BITS"),
      right("DROPS"),
    ],
    list.map((port) => {
      const rate = rates.get(port.name);
      return [
        port.name,
        port.adminStateUp ? port.state : `${port.state}, admin down`,
        formatDuration(port.stateForMs),
        formatCount(port.rxFrames),
        rate ? formatRate(rate.rxFrames, "pps") : "-",
        rate ? formatRate(rate.rxBits, "bit/s") : "-",
        formatCount(port.txFrames),
        rate ? formatRate(rate.txFrames, "pps") : "-",
        rate ? formatRate(rate.txBits, "bit/s") : "-",
        formatCount(Object.values(port.drops).reduce((sum, count) => sum + count, 0)),
      ];
    }),
  );
}

const WAITS_FOR = {
  listen: "waits for a front-end to connect",
  connect: "waits for the front-end's socket",
  inherit: "its front-end has gone, or none has connected yet",
} as const;

function migration(under: NonNullable<PortStatus["migration"]>): string {
  if (under.role === "source") return "its guest is being moved away: what is written is marked in a dirty log";
  return `postcopy: pages of ${formatBytes(under.lateBytes)} come when somebody waits for one`;
}

function portDetail(port: PortStatus): string {
  const peer = port.peerPid === undefined ? "" : `, front-end process ${port.peerPid}`;
  const times = port.connections === 0 ? "never connected" : `connected ${howOften(port.connections)}`;
  const plugged = port.owner === undefined ? "" : `, plugged by ${port.owner}`;
  const parts = [`${port.name}: ${port.role} ${port.path}${peer}, ${times}${plugged}`];
  if (!port.adminStateUp) parts.push(indent("admin down: what comes from its guest and goes to it is dropped"));
  if (port.lastError !== undefined) parts.push(indent(`last error: ${port.lastError}`));
  if (port.state === "waiting") {
    parts.push(indent(WAITS_FOR[port.role]));
  }
  if (port.features.length > 0) {
    parts.push(indent(`features: ${port.features.map(shortFeature).join(" ")} (${port.headerBytes}-byte header)`));
  }
  if (port.migration !== undefined) parts.push(indent(`migration: ${migration(port.migration)}`));
  if (port.mtu !== undefined) parts.push(indent(`mtu: ${port.mtu}`));
  if (port.protocolFeatures.length > 0) {
    parts.push(indent(`protocol: ${port.protocolFeatures.map(shortFeature).join(" ")}`));
  }
  for (const region of port.regions) {
    const range = `memory: ${formatBytes(region.size)} at ${region.guestAddress}`;
    // Whoever truncates a mapped file makes the next access to it a fatal signal.
    const warning = region.shrinkable ? " (the front-end could truncate it: it has no F_SEAL_SHRINK)" : "";
    const place =
      region.window === undefined
        ? `in chunks, ${formatBytes(region.mappedBytes)} mapped now`
        : `window 0x${region.window.toString(16)}`;
    parts.push(indent(`${range}, ${place}${warning}`));
  }
  if (port.queues.length > 0) parts.push(indent(queues(port.queues)));
  for (const { index, broken } of port.queues) {
    if (broken) parts.push(indent(`queue ${index} is broken at descriptor ${broken.descriptor}: ${broken.reason}`));
  }
  parts.push(...softwareOffloads(port.queues).map((line) => indent(line)));
  const drops = Object.entries(port.drops).filter(([, count]) => count > 0);
  drops.sort(([, a], [, b]) => b - a);
  for (const [name, count] of drops) {
    const cause = dropCause(name);
    parts.push(
      indent(`${formatCount(count)} dropped, ${name}: ${cause?.explanation ?? ""} ${cause?.hint ?? ""}`.trimEnd()),
    );
  }
  return parts.join("\n");
}

function queues(list: readonly QueueStatus[]): string {
  return renderTable(
    [
      right("QUEUE"),
      { title: "KIND" },
      { title: "STATE" },
      right("SIZE"),
      right("FRAMES"),
      right("BYTES"),
      right("CALLS"),
      right("WORKER"),
      right("DROPS"),
    ],
    list.map((queue) => [
      queue.index,
      queue.kind,
      queue.state,
      queue.size,
      formatCount(queue.frames),
      formatBytes(queue.bytes),
      formatCount(queue.calls),
      queue.worker ?? "",
      formatCount(Object.values(queue.drops).reduce((sum, count) => sum + count, 0)),
    ]),
  );
}

/** What the switch did for this port's driver, which does not take it as it came. */
function softwareOffloads(list: readonly QueueStatus[]): string[] {
  const sum = (field: "segmented" | "segments" | "checksums") =>
    list.reduce((total, queue) => total + (queue.softwareOffloads?.[field] ?? 0), 0);
  const [segmented, segments, checksums] = [sum("segmented"), sum("segments"), sum("checksums")];
  const lines: string[] = [];
  if (segmented > 0) {
    lines.push(`${formatCount(segmented)} long frames cut into ${formatCount(segments)} for its driver`);
  }
  if (checksums > 0) lines.push(`${formatCount(checksums)} checksums finished for its driver`);
  return lines;
}

/** VIRTIO_NET_F_MRG_RXBUF → mrg_rxbuf, the way QEMU writes it. */
function shortFeature(name: string): string {
  return name.replace(/^(VIRTIO_NET_F_|VIRTIO_F_|VHOST_USER_PROTOCOL_F_|VHOST_USER_F_|VHOST_F_)/, "").toLowerCase();
}

function howOften(count: number): string {
  return count === 1 ? "once" : `${formatCount(count)} times`;
}
