// The values that an expectation can be about: names, what they are of, what they mean.

export interface MetricText {
  name: string;
  /** Kinds of subject that it can be taken of; "network": without any. */
  of: readonly ("flow" | "guest" | "link" | "network")[];
  what: string;
}

const ANY = ["flow", "guest", "network"] as const;

export const METRICS = [
  { name: "sent", of: ANY, what: "frames put into transmit rings" },
  { name: "refused", of: ["flow", "guest", "network", "link"], what: "frames for which a ring had no room" },
  { name: "received", of: ANY, what: "frames that drivers have taken; a flood counts once for each guest" },
  { name: "missing", of: ["flow", "network"], what: "sent less received" },
  { name: "received-share", of: ["flow", "network"], what: "received divided by sent" },
  { name: "reordered", of: ["flow", "network"], what: "frames that came after a later one of their flow" },
  {
    name: "unfairness",
    of: ["flow"],
    what: "the largest distance of a flow's frames from an equal share, as a share of it",
  },
  { name: "latency", of: ["flow", "network"], what: "milliseconds from a sender's ring to the receiver's driver" },
  { name: "answered", of: ["flow"], what: "requests that were answered" },
  { name: "timed-out", of: ["flow"], what: "requests that were given up" },
  { name: "round-trip", of: ["flow"], what: "milliseconds from request to answer" },
  {
    name: "dropped",
    of: ["guest", "network"],
    what: "frames that the switch dropped: those it sent, and those for it",
  },
  { name: "abandoned", of: ["guest", "network"], what: "frames that lay in transmit rings when they were reset" },
  { name: "kicks", of: ["guest", "network"], what: "notifications of the switch" },
  { name: "calls", of: ["guest", "network"], what: "notifications of drivers" },
  { name: "kicks-per-frame", of: ["guest", "network"], what: "kicks divided by frames sent" },
  { name: "calls-per-frame", of: ["guest", "network"], what: "calls divided by frames received" },
  {
    name: "queue-fill",
    of: ["guest", "network"],
    what: "most frames that waited in one receive ring when it was looked at",
  },
  { name: "stopped", of: ["guest", "network"], what: "guests of which the switch has a ring stopped in the end" },
  {
    name: "learned",
    of: ["guest", "network"],
    what: "addresses that the switches know in the end, of guests: their own",
  },
  { name: "carried", of: ["link"], what: "frames that a link brought to the other side" },
  { name: "lost", of: ["link"], what: "frames that a link lost" },
  { name: "overflowed", of: ["link"], what: "frames that found a link's queue full" },
] as const satisfies readonly MetricText[];

export type MetricName = (typeof METRICS)[number]["name"];

export const METRIC_NAMES = METRICS.map(({ name }) => name);

/** What a value can be taken of. */
export function subjectsOf(name: MetricName): readonly string[] {
  return METRICS.find((metric) => metric.name === name)!.of;
}
