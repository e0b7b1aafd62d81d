// A step told: who did what to which field, before and after, at which line of the sources, and what followed from it.

import { DROP_CAUSE_TEXTS, queueStatusText } from "../../core/causes.js";
import { formatMac } from "../../core/mac.js";
import type { QueueKey } from "./driver/access.js";
import { bytesText, fieldText } from "./field-text.js";
import type { Actor, CoreCall, Fault, Step } from "./log.js";
import type { Place, Places } from "./places.js";
import { GUEST_NAMES } from "./setup.js";
import type { AccessKind, Sites } from "./sites.js";
import { type DriverSource, lineOf, type SourceLine } from "./sources.js";
import type { World } from "./world.js";

/** What followed from a step, for those who wait for it. */
export type Note =
  | { note: "kick" | "call"; guest: number; queue: QueueKey; lost: boolean }
  | { note: "call-wanted"; guest: number; queue: QueueKey }
  | { note: "drop"; guest: number; queue: QueueKey; cause: string; explanation: string }
  | { note: "stopped"; guest: number; queue: QueueKey; reason: string }
  | { note: "learned" | "moved" | "forgotten"; mac: string; guest: number }
  | { note: "asleep" | "awake" | "visible" }
  | { note: "returned"; call: CoreCall; value: number }
  | { note: "operation"; guest: number; result: string };

export interface Event {
  /** Of its step, from 1. */
  number: number;
  actor: Actor;
  /** "device", "a", "b" or "c". */
  actorName: string;
  what: Step["what"];
  /** Of an access. */
  kind?: AccessKind;
  /** One sentence: "device reads a.transmitq.avail.idx = 1". */
  text: string;
  /** The fields that were touched; of a copy those written, and `from` those read. */
  places: Place[];
  from: Place[];
  /** Offset in linear memory and bytes; `from` of a copy. */
  address: number;
  length: number;
  /** What was read, at most 16 bytes; what stood there before a write and stands there now. */
  read?: Uint8Array;
  before?: Uint8Array;
  after?: Uint8Array;
  /** What a held store will write. */
  held?: Uint8Array;
  /** The core's source line or the driver's; `atomic` and `compiledInto` of the core only. */
  site?: SourceLine & { column?: number; atomic?: boolean; compiledInto?: string };
  /** The call of the core that it belongs to. */
  call?: CoreCall;
  /** What the driver was doing: "send", "post", … */
  operation?: string;
  notes: Note[];
  /** In a poll that has found nothing yet, from its second look at the rings on: nothing to be shown one by one. */
  idle: boolean;
}

interface Context {
  world: World;
  places: Places;
  sites: Sites;
  driverSource: DriverSource | undefined;
}

export function eventOf(step: Step, number: number, context: Context): Event {
  const { actor, what, kind, address, length, change, read, call, operation } = step;
  const { places: all } = context;
  const isCopy = kind === "copy" && step.from !== undefined;
  const places = length > 0 && (kind || change) ? all.within(address, length) : [];
  const from = isCopy ? all.within(step.from!, length) : [];
  const event: Event = {
    number,
    actor,
    actorName: actorName(actor),
    what,
    text: "",
    places,
    from,
    address,
    length,
    notes: notesOf(step, places),
    idle: step.idle === true,
  };
  if (kind) event.kind = kind;
  if (read) event.read = read;
  if (step.held) event.held = step.held;
  if (change) Object.assign(event, { before: change.before, after: change.after });
  const site = siteOf(step, context);
  if (site) event.site = site;
  if (call) event.call = call.kind;
  if (operation) event.operation = operation.do;
  event.text = textOf(event, step);
  return event;
}

export function actorName(actor: Actor): string {
  return actor === "device" ? actor : GUEST_NAMES[actor]!;
}

function siteOf({ site, name, actor }: Step, { sites, driverSource, world }: Context): Event["site"] {
  if (site !== undefined) {
    const { file, line, column, text, function: within, clauses, atomic, compiledInto } = sites.get(site);
    return { file, line, column, text, clauses, atomic, compiledInto, ...(within ? { function: within } : {}) };
  }
  if (name === undefined || actor === "device") return undefined;
  const folder = "src/explore/machine/driver";
  for (const file of [world.guests[actor]!.setup.ring, "net", "hostile"]) {
    const found = lineOf(driverSource, `${folder}/${file}.ts`, name);
    if (found) return found;
  }
  return undefined;
}

function textOf(event: Event, step: Step): string {
  const { actorName: who, places, from, what, length } = event;
  if (what === "wake") return "device wakes: a kick has come";
  if (what === "kick") return `${who} kicks${step.lost ? ", and the kick is lost" : ""}`;
  if (what === "call") return callText(event);
  if (what === "operation") return `${who} is to ${operationText(step)}`;
  if (what === "nothing") return `${who} ${step.result}`;
  if (what === "fault") return faultText((step.unit as { fault: Fault }).fault);
  if (what === "time") return `${(step.unit as { seconds: number }).seconds} seconds pass`;
  const names = joined(places);
  if (what === "aged") return `the switch's main thread writes ${names} = ${valuesOf(event, places)}`;
  if (what === "visible") return `what ${who} stored in ${names} becomes visible`;
  if (event.kind === "copy") return `${who} copies ${length} bytes from ${joined(from)} to ${names}`;
  if (event.kind === "fill") return `${who} fills ${length} bytes of ${names}`;
  const verb = event.kind === "read" ? "reads" : event.kind === "write" ? "writes" : "exchanges";
  const held = step.held ? ", which nobody else sees yet" : "";
  return `${who} ${verb} ${names} = ${valuesOf(event, places)}${held}`;
}

function callText({ notes }: Event): string {
  const found = notes.find((note) => note.note === "call");
  if (found?.note !== "call") return "device calls";
  const to = `${GUEST_NAMES[found.guest]} for its ${found.queue}`;
  return found.lost ? `device calls ${to}, and the call is lost` : `device calls ${to}`;
}

function operationText({ operation }: Step): string {
  if (!operation) return "do nothing";
  if (operation.do === "send") {
    const to = typeof operation.to === "number" ? GUEST_NAMES[operation.to] : operation.to;
    return `send ${operation.payload} bytes of payload to ${to === "unknown" ? "an unknown address" : to}`;
  }
  if (operation.do === "post") return `give ${operation.buffers} receive buffers`;
  if (operation.do === "receive") return "take what it has received";
  if (operation.do === "reclaim") return "take its sent buffers back";
  if (operation.do === "send-bad") return `give a bad chain (${operation.bad})`;
  return `${operation.wanted ? "ask for calls of" : "want no calls of"} its ${operation.queue}`;
}

function faultText(fault: Fault): string {
  if (fault.fault === "skip-recheck") {
    return fault.skip ? "device will not look again before it sleeps" : "device will look again before it sleeps";
  }
  const guest = GUEST_NAMES[fault.guest];
  if (fault.fault === "let-go") return `the held stores of ${guest} are let go`;
  if (fault.fault === "lose-kick") return `the next kick of ${guest} will be lost`;
  if (fault.fault === "lose-call") return `the next call to ${guest} will be lost`;
  if (fault.accesses === 0) return `the next store of ${guest} will not be held`;
  return `the next store of ${guest} will be held for ${fault.accesses} accesses of the device`;
}

/** "a.transmitq.desc[0].len, flags, next": what is the same in front is said once. */
function joined(places: readonly Place[]): string {
  const words: string[] = [];
  let last = "";
  for (const { name, field } of places) {
    const entry = field ? name.slice(0, -field.length - 1) : name;
    words.push(field && entry === last ? field : name);
    last = entry;
  }
  return words.length > 6 ? `${words[0]} to ${places.at(-1)!.name}` : words.join(", ");
}

function valuesOf({ address, read, after, held, length }: Event, places: readonly Place[]): string {
  const bytes = after ?? held ?? read ?? new Uint8Array();
  if (places.length > 6 || bytes.length < Math.min(length, 16) || places[0]!.kind === "buffer") return bytesText(bytes);
  return places
    .map((place) => {
      const start = Math.max(0, place.address - address);
      const end = Math.min(bytes.length, place.address + place.length - address);
      return fieldText(place, bytes.subarray(start, end));
    })
    .join(", ");
}

/** What a write means for those who watch counters, tables and notifications. */
function notesOf(step: Step, places: readonly Place[]): Note[] {
  const { what, actor, queue, logic, returned, call, result } = step;
  const notes: Note[] = [];
  if (what === "kick") notes.push({ note: "kick", guest: actor as number, queue: queue!, lost: step.lost ?? false });
  if (what === "call") notes.push({ note: "call", guest: places[0]!.guest!, queue: queue!, lost: step.lost ?? false });
  if (what === "wake") notes.push({ note: "awake" });
  if (what === "visible") notes.push({ note: "visible" });
  if ((what === "access" || what === "aged") && step.change && actor === "device")
    notes.push(...notesOfChange(step, places));
  if (returned !== undefined) {
    notes.push({ note: "returned", call: call!.kind, value: returned });
    if (logic.device.phase === "asleep") notes.push({ note: "asleep" });
  }
  if (result !== undefined) notes.push({ note: "operation", guest: actor as number, result });
  return notes;
}

function notesOfChange({ change }: Step, [place]: readonly Place[]): Note[] {
  const { kind, part, field = "", guest, queue } = place!;
  if (kind !== "core") return [];
  const { before, after } = change!;
  if (part === "fdb" && field === "key")
    return [learned(number(before), number(after))].filter((note) => note !== undefined);
  if (part !== "queue") return [];
  const of = { guest: guest!, queue: queue! };
  if (field === "status" && number(after) !== 0n) {
    return [{ note: "stopped", ...of, reason: queueStatusText(Number(number(after))) }];
  }
  if (field === "callPending" && number(before) === 0n && number(after) === 1n) return [{ note: "call-wanted", ...of }];
  if (!field.startsWith("drops.") || number(after) <= number(before)) return [];
  const cause = DROP_CAUSE_TEXTS.find(({ name }) => `drops.${name}` === field)!;
  return [{ note: "drop", ...of, cause: cause.name, explanation: cause.explanation }];
}

function learned(before: bigint, after: bigint): Note | undefined {
  if (before === after) return undefined;
  const key = after === 0n ? before : after;
  const note = after === 0n ? "forgotten" : before === 0n ? "learned" : "moved";
  return { note, mac: formatMac(key), guest: Number(key >> 48n) - 1 };
}

function number(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
