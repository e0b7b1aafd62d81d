// What a scenario's file may say: every key, with what the guide says of it. Rules that join several keys are in check.ts.

import { z } from "zod";
import { DROP_CAUSE_NAMES } from "../core/causes.js";
import { FAULT_KINDS } from "../testing/faults.js";
import { key, name, needed, number, oneOf, oneOrMore, range, text, whole, yesOrNo } from "./keys.js";
import { METRIC_NAMES } from "./metric-names.js";

const TIME_MAX = 3_600_000;
const COUNT_MAX = 100_000_000;
const time = () => number(0, TIME_MAX);
const names = (what: string) => oneOrMore(name(), what);

export const SwitchSchema = z.strictObject({
  "kick-us": key(number(0, 1e6), "microseconds until a kick has woken the switch", "1"),
  "call-us": key(number(0, 1e6), "microseconds until a call has reached a guest", "1"),
  "fdb-limit": key(whole(1, 65_536), "addresses that a switch learns", "1024"),
  "fdb-port-limit": key(whole(1, 65_536), "addresses that it learns behind one guest", "1024"),
  ageing: key(whole(1, 1_000_000), "seconds without a frame after which an address is forgotten", "300"),
});

export const LinkSchema = z.strictObject({
  between: needed(
    z.custom<[string, string]>(
      (value) => Array.isArray(value) && value.length === 2 && value.every((each) => typeof each === "string"),
      { error: "must be a list of two switches" },
    ),
    "the two switches at its ends",
  ),
  rate: key(number(1, 1e12), "bits in a second", "no limit"),
  delay: key(time(), "milliseconds that a bit is under way", "0"),
  loss: key(number(0, 1), "share of the frames that get lost", "0"),
  queue: key(whole(0, 1e9), "bytes that may wait for the cable", "262144"),
});

export const GuestSchema = z.strictObject({
  count: key(whole(1, 250), "so many alike: `web` becomes `web1`, `web2`, …", "one, named as it stands"),
  switch: key(name(), "the switch it is at", "the first"),
  shape: key(oneOf(["drawn"]), "`drawn`: rings and features come from the seed; keys beside it win"),
  ring: key(oneOf(["split", "packed"]), "kind of its rings", "split"),
  size: key(whole(1, 32_768), "entries of each ring", "256"),
  pairs: key(whole(1, 16), "pairs of queues", "1"),
  legacy: key(yesOrNo(), "a driver from before virtio 1.0", "false"),
  mergeable: key(yesOrNo(), "VIRTIO_NET_F_MRG_RXBUF: a frame may fill several receive buffers", "false"),
  indirect: key(yesOrNo(), "VIRTIO_F_INDIRECT_DESC", "false"),
  "event-idx": key(yesOrNo(), "VIRTIO_F_EVENT_IDX", "false"),
  "in-order": key(yesOrNo(), "VIRTIO_F_IN_ORDER", "false"),
  offloads: key(oneOf(["none", "send", "receive", "both"]), "checksums and segmentation", "none"),
  mtu: key(whole(68, 65_535), "bytes of payload it takes at most, agreed with the switch", "none agreed"),
  rate: key(number(0.001, 1e6), "frames that its driver takes in a millisecond", "as they come"),
  regions: key(whole(1, 32), "regions of its RAM; a buffer may lie across two", "1"),
  "rx-buffers": key(whole(1, 32_768), "receive buffers of each pair", "64, or the ring's size"),
  "rx-buffer-bytes": key(whole(16, 1 << 20), "bytes of each", "2048"),
  "transmit-bytes": key(whole(4096, 1 << 28), "bytes for frames that wait to be sent", "262144"),
  pieces: key(oneOrMore(whole(1, 65_535), "a number of bytes"), "bytes of the buffers that a sent frame is cut into"),
  announce: key(yesOrNo(), "whether the switch knows its address from the start", "true"),
});

export const TRAFFIC_KINDS = ["constant", "poisson", "requests", "replay"] as const;

export const TrafficSchema = z.strictObject({
  from: needed(names("a guest"), "a guest, a group, a list of them, or `all`; a flow for each"),
  to: key(
    names("a guest"),
    "likewise, a flow for each pair of two; or `broadcast`, or `next`: of the senders the next one (not for `replay`)",
  ),
  kind: key(
    oneOf(TRAFFIC_KINDS),
    "`constant` and `poisson` (random gaps) have a rate; `requests` wait for answers; `replay` has a file",
    "constant",
  ),
  flows: key(range(0, 1000), "so many flows, each between two guests that the seed chooses", "one for each pair"),
  rate: key(range(0.001, 1e9), "frames in a second of each flow", "1000"),
  sizes: key(
    z.custom<number | number[] | "imix" | "drawn">(
      (value) =>
        value === "imix" ||
        value === "drawn" ||
        [value].flat().every((size) => Number.isInteger(size) && (size as number) >= 60 && (size as number) <= 65_550),
      { error: "must be a frame length from 60 to 65550, a list of them, imix, or drawn" },
    ),
    "bytes of a frame without check sequence, 60 or more; a list is sent in turn; `imix`; `drawn`: one length for each flow",
    "60",
  ),
  burst: key(range(1, 10_000), "frames that come at once, the next so many after as many gaps", "1"),
  count: key(range(0, COUNT_MAX), "frames, or requests, of each flow", "until `stop`; 100 requests"),
  start: key(time(), "millisecond at which it begins", "0"),
  stop: key(time(), "millisecond at which it ends", "`duration`"),
  pair: key(whole(0, 15), "the sender's pair of queues", "0"),
  offload: key(
    z.custom<"checksum" | number>(
      (value) =>
        value === "checksum" || (Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536),
      { error: "must be checksum, or the bytes of a segment's payload" },
    ),
    "work left to the switch: `checksum`, or bytes of each segment's payload; what arrives is then counted by guest only",
    "none",
  ),
  answer: key(whole(60, 65_550), "requests: bytes of an answer", "60"),
  think: key(time(), "requests: milliseconds from an answer to the next request", "0"),
  timeout: key(time(), "requests: milliseconds until a request is given up", "100"),
  file: key(text("the path of a pcap or pcapng file"), "replay: the capture, from the scenario's folder"),
  speed: key(number(0.001, 1000), "replay: 2 is twice as fast", "1"),
});

const KINDS = FAULT_KINDS as readonly (typeof FAULT_KINDS)[number][];

export const DrawSchema = z.strictObject({
  count: needed(range(0, 1000), "how many"),
  guest: key(names("a guest"), "whom they may befall", "all"),
  kinds: key(oneOrMore(oneOf(KINDS), "a kind of fault"), "of which kinds they are", "all kinds"),
  until: key(time(), "they begin before that millisecond, and end at most a quarter of it later", "`duration` × 0.8"),
});

export const FaultSchema = z.strictObject({
  kind: key(oneOf(KINDS), "what happens: see [LAB.md](LAB.md#faults)"),
  guest: key(names("a guest"), "whom it befalls: a guest, a group, a list, or `all`"),
  at: key(time(), "millisecond at which it begins", "0"),
  for: key(time(), "milliseconds that it lasts", "for ever"),
  apart: key(time(), "milliseconds from one guest's to the next guest's", "0"),
  queue: key(oneOf(["transmit", "receive"]), "which ring a hostile driver breaks", "transmit"),
  rate: key(number(0.001, 1e6), "of `slow`: frames in a millisecond", "needed"),
  by: key(time(), "of `late-kicks`, `late-calls`: milliseconds", "needed"),
  seconds: key(number(-1e6, 1e6), "of `clock-jump`", "needed"),
  draw: key(DrawSchema, "instead of all others: faults that the seed chooses, see below"),
});

/** What a value is taken of. */
const subject = {
  flow: key(names("a flow"), "of these flows, by the traffic's names"),
  guest: key(names("a guest"), "of these guests or groups, or `all`"),
  link: key(names("a link"), "of these links"),
  variant: key(name(), "only in that variant", "in each"),
  cause: key(oneOf(DROP_CAUSE_NAMES), "of `dropped`: only that cause", "all"),
  quantile: key(number(0, 1), "of `latency` and `round-trip`", "0.5"),
};

export const SubjectSchema = z.strictObject({
  that: key(oneOf(METRIC_NAMES), "another value", "the same"),
  ...subject,
});

export const ExpectSchema = z.strictObject({
  that: needed(oneOf(METRIC_NAMES), "the value, see below"),
  ...subject,
  is: key(number(-1e15, 1e15), "it is exactly so much"),
  "at-least": key(number(-1e15, 1e15), "it is so much or more"),
  "at-most": key(number(-1e15, 1e15), "it is so much or less"),
  times: key(SubjectSchema, "the bounds are multiples of another value: its keys are those that differ"),
  why: key(text(), "the lesson, in a sentence"),
});

const map = <T extends z.ZodType>(value: T, what: string) =>
  z.record(z.string(), value, { error: `must be a map from names to ${what}` });

const list = <T extends z.ZodType>(value: T, what: string) => z.array(value, { error: `must be a list of ${what}` });

export const ScenarioSchema = z.strictObject({
  about: needed(text("a text that says what the scenario shows"), "what it shows, for its reader"),
  seed: key(whole(0, 0xffff_ffff), "all chance comes from it; `--seed` wins", "1"),
  duration: key(number(0.001, TIME_MAX), "milliseconds that traffic goes; then all comes to rest", "100"),
  switches: key(oneOrMore(name(), "a switch's name"), "names of the switches", "one, `switch`"),
  switch: key(SwitchSchema, "settings of every switch"),
  links: key(map(LinkSchema, "links"), "cables between switches, by name"),
  guests: needed(map(GuestSchema, "guests"), "guests and groups of guests, by name"),
  traffic: key(map(TrafficSchema, "traffic"), "what is sent, by name"),
  faults: key(list(FaultSchema, "faults"), "what goes wrong"),
  expect: key(list(ExpectSchema, "expectations"), "what must have come of it"),
  conserved: key(yesOrNo(), "no frame is lost uncounted, doubled or changed", "true"),
  judge: key(
    oneOf(["rings", "memory"]),
    "what the switch does is held against the specification at each of its steps: every ring, or every byte of memory too, which is slow",
    "nothing",
  ),
  variants: key(
    map(z.record(z.string(), z.unknown()), "changes"),
    "runs that differ: each says only what is different, in the keys above; a list is replaced whole",
  ),
});

export type Scenario = z.infer<typeof ScenarioSchema>;
export type GuestSpec = z.infer<typeof GuestSchema>;
export type TrafficSpec = z.infer<typeof TrafficSchema>;
export type FaultSpec = z.infer<typeof FaultSchema>;
export type ExpectSpec = z.infer<typeof ExpectSchema>;
export type LinkSpec = z.infer<typeof LinkSchema>;
export type SubjectSpec = z.infer<typeof SubjectSchema>;
