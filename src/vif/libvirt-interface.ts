// What libvirt 9.0 reads from <interface type="vhostuser">, and what it refuses besides its schema (virDomainNetDefParseXML
// in conf/domain_conf.c, virDomainNetDefValidate in conf/domain_validate.c, qemuValidateDomainDeviceDefNetwork in
// qemu/qemu_validate.c, qemuDomainValidateActualNetDef in qemu/qemu_domain.c).

import type { Element } from "@xmldom/xmldom";
import { checkSchema, childElements } from "./libvirt-schema.js";
import { VifRefusal } from "./refusal.js";
import { socketFault } from "./socket-path.js";
import { readXml } from "./xml.js";

/** An interface as libvirt hands it to QEMU. Absent: libvirt writes nothing. */
export interface LibvirtInterface {
  mac: string;
  model: "virtio" | "virtio-transitional" | "virtio-non-transitional";
  socket: { path: string; server: boolean; reconnect?: number };
  /** Chosen by the user ("ua-…"); absent: net0, net1, …. */
  alias?: string;
  /** Attributes of <driver>, of <driver><host> and of <driver><guest>. */
  driver: Record<string, string>;
  host: Record<string, string>;
  guest: Record<string, string>;
  failover: boolean;
  bootIndex?: number;
  acpiIndex?: number;
  multifunction?: string;
  rom?: { bar?: string; file?: string };
  /** What libvirt takes without doing it, or QEMU refuses later; sentences for the operator. */
  warnings: string[];
}

const MODELS = ["virtio", "virtio-transitional", "virtio-non-transitional"] as const;
/** QEMU's hw/net/virtio-net.c: rings of a card may have as many entries. */
const RING_MIN = 256;
const RING_MAX = 1024;

/**
 * Reads one interface as libvirt does.
 * @param text the element as XML
 * @param where what it is, the beginning of every message
 * @param validate false: without the schema, as `virsh create` without --validate
 * @throws VifRefusal for what libvirt refuses, and for what two starts would not make equal
 */
export function readInterface(text: string, where: string, validate = true): LibvirtInterface {
  const root = readXml(text, where);
  if (validate) checkSchema(root, where);
  const refuse = (reason: string): never => {
    throw new VifRefusal(`${where}: ${reason}`);
  };
  const child = (name: string, of: Element = root) => childElements(of).find(({ tagName }) => tagName === name);
  const value = (name: string, attribute: string) => child(name)?.getAttribute(attribute) ?? undefined;

  if (root.getAttribute("type") !== "vhostuser") {
    refuse(`is of type "${root.getAttribute("type") ?? "user"}": a vhost-user switch needs type="vhostuser"`);
  }
  for (const name of ["virtualport", "vlan", "coalesce", "ip", "route", "script"]) {
    if (child(name)) refuse(`<${name}> is not for type="vhostuser": remove it, the switch's port decides that`);
  }
  const model = value("model", "type");
  const known = MODELS.find((name) => name === model);
  if (known === undefined) {
    refuse(`<model type="${model ?? ""}"> is no virtio card, and vhostuser needs one: use <model type="virtio"/>`);
  }
  const mac = value("mac", "address");
  if (mac === undefined) {
    return refuse('has no <mac>: libvirt would choose one at random; add <mac address="52:54:00:…"/>');
  }
  if (!/^[a-f0-9][02468ace](:[a-f0-9]{1,2}){5}$/i.test(mac)) refuse(`<mac address="${mac}"> is no interface's address`);
  if (value("target", "managed") === "no") refuse('<target managed="no"> is for taps: remove it');
  if (value("port", "isolated") === "yes") refuse('<port isolated="yes"> is for bridges: remove it');
  if (value("backend", "type") === "passt") refuse('<backend type="passt"> is for type="user": remove it');
  if (value("backend", "tap") !== undefined) refuse("<backend tap> is for taps: remove it");
  const teaming = value("teaming", "type");
  if (teaming === "transient") refuse('<teaming type="transient"> is for the host\'s device: use "persistent"');
  if (Number(value("mtu", "size") ?? 0) > 0) {
    refuse(
      "<mtu>: libvirt 9 looks for a tap to set it on, and the guest does not start: give the switch's port an mtu",
    );
  }

  const driverElement = child("driver");
  const driver = attributes(driverElement);
  for (const key of ["queues", "rx_queue_size", "tx_queue_size"]) {
    const number = driver[key];
    if (number !== undefined && !(/^\d+$/.test(number) && Number(number) <= 0xffff_ffff)) {
      refuse(`<driver ${key}="${number}"> is no whole number`);
    }
  }
  const warnings: string[] = [];
  for (const key of ["rx_queue_size", "tx_queue_size"]) {
    const size = Number(driver[key] ?? 0);
    if (size === 0) continue;
    if (!Number.isInteger(Math.log2(size))) refuse(`<driver ${key}="${size}"> has to be a power of two`);
    if (size < RING_MIN || size > RING_MAX) {
      warnings.push(`${where}: QEMU refuses ${key} ${size}: use 256, 512 or 1024`);
    }
  }
  warnings.push(...bandwidthWarnings(child("bandwidth"), where, refuse));
  if (child("filterref")) warnings.push(`${where}: libvirt drops <filterref> silently: nothing filters this card`);
  if (numberOf(value("acpi", "index")) === 0) refuse('<acpi index="0">: libvirt permits no zero: remove it');
  const alias = value("alias", "name");
  return {
    mac: mac.toLowerCase(),
    model: known!,
    socket: readSource(child("source"), refuse),
    alias: alias?.startsWith("ua-") ? alias : undefined,
    driver,
    host: attributes(driverElement && child("host", driverElement)),
    guest: attributes(driverElement && child("guest", driverElement)),
    failover: teaming === "persistent",
    bootIndex: numberOf(value("boot", "order")),
    acpiIndex: numberOf(value("acpi", "index")),
    multifunction: value("address", "multifunction"),
    rom: readRom(child("rom"), refuse),
    warnings,
  };
}

type Refuse = (reason: string) => never;

function attributes(element: Element | undefined): Record<string, string> {
  return Object.fromEntries([...(element?.attributes ?? [])].map(({ name, value }) => [name, value]));
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

function readSource(source: Element | undefined, refuse: Refuse): LibvirtInterface["socket"] {
  const { type, path, mode } = attributes(source);
  const element = '<source type="unix" mode="server" path="/…"/>';
  if (source === undefined) return refuse(`has no <source>: add ${element}`);
  if (type !== "unix") refuse(`<source type="${type ?? ""}"> must be "unix"`);
  if (mode !== "server" && mode !== "client") {
    refuse(`<source mode="${mode ?? ""}"> must be QEMU's role, "server" or "client"`);
  }
  if (!path) return refuse(`<source> has no path: write it as ${element}`);
  const fault = socketFault(path);
  if (fault !== undefined) refuse(`<source path>: ${fault}`);
  const server = mode === "server";
  const reconnect = attributes(childElements(source).find(({ tagName }) => tagName === "reconnect"));
  if (reconnect.enabled === "no") return { path, server, reconnect: 0 };
  if (reconnect.enabled !== "yes") return { path, server };
  if (server) refuse('<reconnect> is for mode="client": a server waits for the switch anyway; remove it');
  if (reconnect.timeout === undefined) refuse("<reconnect> needs a timeout in seconds");
  return { path, server, reconnect: Number(reconnect.timeout) };
}

function bandwidthWarnings(bandwidth: Element | undefined, where: string, refuse: Refuse): string[] {
  if (bandwidth === undefined) return [];
  if (bandwidth.hasAttribute("classID")) refuse("<bandwidth classID> is for networks: remove it");
  const limits = childElements(bandwidth).filter(({ tagName }) => tagName === "inbound" || tagName === "outbound");
  for (const limit of limits) {
    const { average, peak, burst, floor } = attributes(limit);
    if (floor !== undefined) refuse(`<bandwidth><${limit.tagName} floor> is for networks: remove it`);
    if (average === undefined && (peak ?? burst) !== undefined) refuse(`<${limit.tagName}> needs an average`);
    if (average === undefined) refuse(`<${limit.tagName}> needs an average`);
  }
  if (limits.length === 0) return [];
  return [`${where}: libvirt does not apply <bandwidth> to vhostuser: nothing limits this card`];
}

function readRom(rom: Element | undefined, refuse: Refuse): LibvirtInterface["rom"] {
  if (rom === undefined) return undefined;
  const { enabled, bar, file } = attributes(rom);
  if (enabled !== "no") return { bar, file };
  if (bar !== undefined || file !== undefined) refuse('<rom enabled="no"> goes with neither bar nor file: remove them');
  return { file: "" };
}
