// XML as libvirt takes it and as Nova writes it: two blanks of indentation, double quotes, a newline at the end.

import { DOMImplementation, DOMParser, type Element, XMLSerializer } from "@xmldom/xmldom";
import type { NovaInterface } from "./nova-interface.js";
import { VifRefusal } from "./refusal.js";

/** An element to be written: name, attributes (undefined ones are left out), children. */
export type XmlNode = [string, Record<string, string | number | undefined>, ...XmlNode[]];

/** Writes one element and its children. */
export function writeXml(root: XmlNode): string {
  const document = new DOMImplementation().createDocument(null, root[0]);
  const fill = (element: Element, [, attributes, ...children]: XmlNode, depth: number) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined) element.setAttribute(name, String(value));
    }
    const newline = (levels: number) => document.createTextNode(`\n${"  ".repeat(levels)}`);
    for (const child of children) {
      const inner = document.createElement(child[0]);
      element.appendChild(newline(depth + 1));
      element.appendChild(inner);
      fill(inner, child, depth + 1);
    }
    if (children.length > 0) element.appendChild(newline(depth));
  };
  fill(document.documentElement!, root, 0);
  return `${new XMLSerializer().serializeToString(document)}\n`;
}

/**
 * Reads one XML document.
 * @param what what it is, the beginning of a message
 * @throws VifRefusal when it is not well-formed, or has a document type: an interface needs no entities of its own
 */
export function readXml(text: string, what: string): Element {
  if (/<!DOCTYPE/i.test(text))
    throw new VifRefusal(`${what}: has a document type, which no libvirt XML needs: remove it`);
  try {
    const onError = (_level: string, message: string) => {
      throw new VifRefusal(message);
    };
    return new DOMParser({ onError }).parseFromString(text, "text/xml").documentElement!;
  } catch (error) {
    const reason = (error as Error).message.replace(/^.*caused VifRefusal: /s, "");
    throw new VifRefusal(`${what}: is no well-formed XML (${reason}): give the whole element`);
  }
}

/** An interface as Nova writes it into the domain (nova/virt/libvirt/config.py, LibvirtConfigGuestInterface). */
export function interfaceXml(nic: NovaInterface): string {
  const { type, driver, socket, mtu, target } = nic;
  const attributes = {
    name: driver.name,
    packed: driver.packed,
    queues: driver.queues,
    rx_queue_size: driver.rxQueueSize,
    tx_queue_size: driver.txQueueSize,
  };
  const children: XmlNode[] = [["mac", { address: nic.mac }]];
  if (nic.model !== undefined) children.push(["model", { type: nic.model }]);
  if (Object.values(attributes).some((value) => value !== undefined)) children.push(["driver", attributes]);
  if (socket) children.push(["source", { type: "unix", mode: socket.mode, path: socket.path }]);
  if (type === "bridge") children.push(["source", { bridge: nic.bridge }]);
  if (mtu !== undefined) children.push(["mtu", { size: mtu }]);
  children.push(["target", { dev: target }]);
  const limits = (["inbound", "outbound"] as const).filter((way) => nic.bandwidth[way].average !== undefined);
  if (limits.length > 0) {
    const ways = limits.map((way): XmlNode => {
      const { average, peak, burst } = nic.bandwidth[way];
      return [way, { average, peak, burst }];
    });
    children.push(["bandwidth", {}, ...ways]);
  }
  return writeXml(["interface", { type }, ...children]);
}
