// What libvirt's schema (domaincommon.rng of 9.0) lets stand in <interface type="vhostuser">: elements, attributes and
// their values. `virsh create --validate` refuses everything else, and so does Nova, which validates what it defines.

import type { Element } from "@xmldom/xmldom";
import { VifRefusal } from "./refusal.js";

/** A value's form, and how to say it. */
interface Form {
  test(value: string): boolean;
  text: string;
}

interface Rule {
  attributes?: Record<string, Form>;
  required?: readonly string[];
  children?: Record<string, Rule>;
  /** May stand more than once. */
  many?: true;
}

const words = (...list: string[]): Form => ({ test: (value) => list.includes(value), text: list.join(" or ") });
const matching = (pattern: RegExp, text: string): Form => ({ test: (value) => pattern.test(value), text });
const between = (low: number, high: number): Form => ({
  test: (value) => /^[0-9]{1,10}$/.test(value) && Number(value) >= low && Number(value) <= high,
  text: `a whole number from ${low} to ${high}`,
});

const UINT_MAX = 0xffff_ffff;
const onOff = words("on", "off");
const yesNo = words("yes", "no");
const uint = between(0, UINT_MAX);
const positive = between(1, UINT_MAX);
const mac = matching(/^[a-f0-9][02468ace](:[a-f0-9]{2}){5}$/i, "the MAC address of one interface");
const device = matching(/^[a-zA-Z0-9_.\-\\:/]+$/, "the name of a device");
const absolutePath = matching(/^(\/|[a-zA-Z]:\\)./s, "an absolute path");
const anyPath = matching(/^[^\n]+$/, "a path");
const alias = matching(/^[a-zA-Z0-9_\-.]+$/, "letters, digits, dots, dashes and underscores");
const anything = matching(/^/, "text");

/** Rules for an element with these attributes and nothing inside. */
const only = (attributes: Record<string, Form>, ...required: string[]): Rule => ({ attributes, required });
const switches = (names: string) => Object.fromEntries(names.split(" ").map((name) => [name, onOff]));
const rate = only({ average: positive, peak: positive, floor: positive, burst: positive });
const address: Rule = {
  attributes: Object.fromEntries(
    "type domain bus slot function multifunction controller target unit port cssid ssid devno iobase irq"
      .split(" ")
      .map((name) => [name, anything]),
  ),
  required: ["type"],
  children: { zpci: only({ uid: anything, fid: anything }) },
};

const INTERFACE: Rule = {
  attributes: { type: words("vhostuser"), trustGuestRxFilters: yesNo },
  required: ["type"],
  children: {
    source: {
      attributes: { type: words("unix"), path: absolutePath, mode: words("server", "client") },
      required: ["type", "path", "mode"],
      children: { reconnect: only({ enabled: yesNo, timeout: uint }, "enabled") },
    },
    mac: only({ address: mac, type: words("generated", "static"), check: yesNo }, "address"),
    model: only({ type: matching(/^[a-zA-Z0-9\-_]+$/, "a card's model") }, "type"),
    driver: {
      attributes: {
        name: words("qemu", "vhost", "kvm", "vfio", "xen"),
        queues: positive,
        rx_queue_size: positive,
        tx_queue_size: positive,
        txmode: words("iothread", "timer"),
        ...switches("ioeventfd event_idx iommu ats packed page_per_vq rss rss_hash_report"),
      },
      children: {
        host: only(switches("csum gso tso4 tso6 ecn ufo mrg_rxbuf")),
        guest: only(switches("csum tso4 tso6 ecn ufo")),
      },
    },
    target: only({ dev: device, managed: yesNo }, "dev"),
    link: only({ state: words("up", "down") }, "state"),
    mtu: only({ size: between(0, 65_535) }, "size"),
    alias: only({ name: alias }, "name"),
    boot: only({ order: positive, loadparm: matching(/^[a-zA-Z0-9.\s]{1,8}$/, "1 to 8 letters") }, "order"),
    rom: only({ enabled: yesNo, bar: onOff, file: absolutePath }),
    acpi: only({ index: uint }),
    address,
    teaming: only({ type: words("persistent", "transient"), persistent: alias }, "type"),
    bandwidth: { attributes: { classID: positive }, children: { inbound: rate, outbound: rate } },
    filterref: {
      attributes: { filter: anything },
      required: ["filter"],
      children: { parameter: { ...only({ name: anything, value: anything }, "name", "value"), many: true } },
    },
    backend: only({ type: words("passt"), tap: absolutePath, vhost: absolutePath, logFile: absolutePath }),
    vlan: {
      attributes: { trunk: words("yes") },
      children: {
        tag: { ...only({ id: between(0, 4095), nativeMode: words("tagged", "untagged") }, "id"), many: true },
      },
    },
    port: only({ isolated: yesNo }),
    guest: only({ dev: device, actual: device }),
    script: only({ path: anyPath }, "path"),
    downscript: only({ path: anyPath }, "path"),
    backenddomain: only({ name: anything }, "name"),
    tune: { children: { sndbuf: {} } },
    coalesce: { children: { rx: { children: { frames: only({ max: uint }) } } } },
    ip: { ...only({ address: anything, family: anything, prefix: anything, peer: anything }, "address"), many: true },
    route: {
      ...only(
        Object.fromEntries(
          ["family", "address", "netmask", "prefix", "gateway", "metric"].map((name) => [name, anything]),
        ),
      ),
      many: true,
    },
    portForward: {
      attributes: { proto: words("tcp", "udp"), address: anything, dev: device },
      required: ["proto"],
      children: {
        range: { ...only({ start: anything, end: anything, to: anything, exclude: yesNo }, "start"), many: true },
      },
      many: true,
    },
  },
};

/**
 * Checks an interface against the schema.
 * @param where the element in words, the beginning of a message
 * @throws VifRefusal at the first thing that the schema does not have
 */
export function checkSchema(element: Element, where: string): void {
  if (element.tagName !== "interface") {
    throw new VifRefusal(`${where}: is <${element.tagName}>: give the <interface> element of the domain`);
  }
  checkElement(element, INTERFACE, where);
  const missing = element.getElementsByTagName("source").length === 0;
  if (missing) throw new VifRefusal(`${where}: has no <source>: add <source type="unix" mode="server" path="/…"/>`);
}

function checkElement(element: Element, rule: Rule, where: string): void {
  const here = `${where}: <${element.tagName}>`;
  for (const { name, value } of element.attributes) {
    const form = rule.attributes && Object.hasOwn(rule.attributes, name) ? rule.attributes[name] : undefined;
    if (form === undefined) throw new VifRefusal(`${here} has no attribute "${name}" in libvirt's schema: remove it`);
    if (!form.test(value)) throw new VifRefusal(`${here} ${name}="${value}" is not ${form.text}`);
  }
  for (const name of rule.required ?? []) {
    if (!element.hasAttribute(name)) throw new VifRefusal(`${here} needs the attribute "${name}"`);
  }
  const seen = new Set<string>();
  for (const child of childElements(element)) {
    const inner =
      rule.children && Object.hasOwn(rule.children, child.tagName) ? rule.children[child.tagName] : undefined;
    if (inner === undefined) {
      throw new VifRefusal(`${here} can not have <${child.tagName}> in libvirt's schema: remove it`);
    }
    if (seen.has(child.tagName) && !inner.many) {
      throw new VifRefusal(`${here} has <${child.tagName}> twice: remove one`);
    }
    seen.add(child.tagName);
    checkElement(child, inner, where);
  }
}

/** The elements directly inside of one. */
export function childElements(element: Element): Element[] {
  return [...element.childNodes].filter((node): node is Element => node.nodeType === node.ELEMENT_NODE);
}
