// What the plots show: rates over time, from counters that only grow.

import type { LivePort } from "../live.js";

/** A quarter of an hour at two a second. */
const POINTS_MAX = 1800;
/** They are cut off so many at a time. */
const POINTS_SLACK = 200;

type Values = (number | null)[];

/** Rates of one port, a value for each moment: null where there is none. */
export interface PortSeries {
  rxFrames: Values;
  txFrames: Values;
  rxBits: Values;
  txBits: Values;
}

/** Rates at one moment. */
export type PortRates = Record<keyof PortSeries, number | null>;

export const NO_RATES: PortRates = { rxFrames: null, txFrames: null, rxBits: null, txBits: null };
const KEYS = ["rxFrames", "txFrames", "rxBits", "txBits"] as const;

interface Counted {
  id: number;
  counters: Record<keyof PortSeries, number>;
  drops: Readonly<Record<string, number>>;
}

export class History {
  /** Seconds since 1970. */
  readonly times: number[] = [];
  readonly ports = new Map<string, PortSeries>();
  /** Frames dropped in a second, of all ports, by cause. */
  readonly drops = new Map<string, Values>();
  private before: { at: number; ports: Map<string, Counted> } | undefined;

  /** A moment: `at` in milliseconds on the switch's clock, `time` in seconds since 1970. */
  add(at: number, time: number, ports: readonly LivePort[]): void {
    const counted = new Map(ports.map((port) => [port.name, countersOf(port)]));
    const seconds = this.before === undefined ? 0 : (at - this.before.at) / 1000;
    this.times.push(time);
    const length = this.times.length;
    for (const name of counted.keys()) {
      if (!this.ports.has(name)) this.ports.set(name, { rxFrames: [], txFrames: [], rxBits: [], txBits: [] });
    }
    const dropped = new Map<string, number>();
    for (const [name, series] of this.ports) {
      const [now, then] = [counted.get(name), this.before?.ports.get(name)];
      // A port that was made anew counts from 0 again.
      const known = seconds > 0 && now !== undefined && then?.id === now.id;
      for (const key of KEYS) {
        const values = series[key];
        while (values.length < length - 1) values.push(null);
        values.push(known ? rate(now.counters[key] - then.counters[key], seconds) : null);
      }
      if (!known) continue;
      for (const [cause, count] of Object.entries(now.drops)) {
        dropped.set(cause, (dropped.get(cause) ?? 0) + Math.max(0, count - (then.drops[cause] ?? 0)));
      }
    }
    for (const cause of dropped.keys()) if (!this.drops.has(cause)) this.drops.set(cause, []);
    for (const [cause, values] of this.drops) {
      while (values.length < length - 1) values.push(null);
      values.push(seconds > 0 ? (dropped.get(cause) ?? 0) / seconds : null);
    }
    this.before = { at, ports: counted };
    if (length > POINTS_MAX + POINTS_SLACK) this.cut();
  }

  /** A moment of which nothing is known: the lines have a gap there. */
  gap(time: number): void {
    if (this.times.length === 0) return;
    this.times.push(time);
    const all = [...this.ports.values()].flatMap((series) => KEYS.map((key) => series[key]));
    for (const values of [...all, ...this.drops.values()]) values.push(null);
    this.before = undefined;
  }

  /** The rates of the last moment. */
  last(port: string): PortRates {
    return this.at(port, this.times.length - 1);
  }

  /** The rates of a moment by its number. */
  at(port: string, index: number): PortRates {
    const series = this.ports.get(port);
    if (series === undefined) return NO_RATES;
    return Object.fromEntries(KEYS.map((key) => [key, series[key][index] ?? null])) as PortRates;
  }

  private cut(): void {
    const surplus = this.times.length - POINTS_MAX;
    this.times.splice(0, surplus);
    for (const [name, series] of this.ports) {
      for (const key of KEYS) series[key].splice(0, surplus);
      if (series.rxFrames.every((value) => value === null)) this.ports.delete(name);
    }
    for (const values of this.drops.values()) values.splice(0, surplus);
  }
}

function countersOf({ id, rxFrames, txFrames, rxBytes, txBytes, drops }: LivePort): Counted {
  return { id, counters: { rxFrames, txFrames, rxBits: rxBytes * 8, txBits: txBytes * 8 }, drops };
}

function rate(more: number, seconds: number): number | null {
  return more < 0 ? null : more / seconds;
}
