// What a driver does to memory, one access for each `yield`. The drivers of this folder are written as generators, so that
// whoever runs them can stop between any two accesses; apart from that they are what a real driver is.
//
// The first word of each is a name, once in each file: it tells the source line (sources.ts), so keep it on the line of its yield.

export type Access =
  | { do: "load"; name: string; at: number; bytes: 1 | 2 | 4 }
  | { do: "store"; name: string; at: number; bytes: 1 | 2 | 4 | 8; value: number }
  | { do: "write"; name: string; at: number; data: Uint8Array }
  | { do: "read"; name: string; at: number; length: number }
  | { do: "kick"; name: string; queue: QueueKey };

export type QueueKey = "receiveq" | "transmitq";

/** Accesses that end in a result; a load's value comes out of its yield, the bytes of a read as a Uint8Array. */
export type Steps<Result> = Generator<Access, Result, Loaded>;

/** Number for a load, bytes for a read, 0 for the rest. */
export type Loaded = number | Uint8Array;

/** A little-endian field of guest memory; addresses are guest physical. */
export function* load(name: string, at: number, bytes: 1 | 2 | 4): Steps<number> {
  return (yield { do: "load", name, at, bytes }) as number;
}

export function store(name: string, at: number, bytes: 1 | 2 | 4 | 8, value: number): Access {
  return { do: "store", name, at, bytes, value };
}

/** Bytes of a buffer, copied at once. */
export function write(name: string, at: number, data: Uint8Array): Access {
  return { do: "write", name, at, data };
}

export function* read(name: string, at: number, length: number): Steps<Uint8Array> {
  return (yield { do: "read", name, at, length }) as Uint8Array;
}

/** The eventfd by which the switch hears that there is something in the queue (2.7.10). */
export function kick(name: string, queue: QueueKey): Access {
  return { do: "kick", name, queue };
}

/** A piece of memory that is given to the device. */
export interface Piece {
  /** Guest physical address and length in bytes. */
  address: number;
  length: number;
  /** The device may write there, and not read. */
  writable: boolean;
}

/** A chain that came back: its buffer's number, and how many bytes the device wrote. */
export interface Used {
  buffer: number;
  written: number;
}
