// What every peer is to those who measure it: a back-end with two sockets, and processes that can be stopped.

export interface PeerOptions {
  /** A folder of the peer's own, which its maker removes. */
  folder: string;
  /** The CPU its data path runs on. */
  cpu: number;
  /** Its other threads may run on every CPU; default: they are kept on that one too. */
  spread?: boolean;
  /** 2 MiB pages may be used; else the peer gets ordinary memory. */
  hugePages: boolean;
  /** Longest frame that it must carry, in bytes. */
  frameBytes: number;
  /** Queue pairs of each port; default 1. */
  queues?: number;
  /** The sockets of a peer that connects to them. */
  connectTo?: [string, string];
}

export interface Peer {
  name: string;
  /** What it is, with its version: "dpdk-testpmd 22.11.11 net_vhost io". */
  description: string;
  command: string;
  sockets: [string, string];
  /** Who listens on the sockets. */
  role: "listens" | "connects";
  /** Its processes; the first one moves the frames. */
  pids: number[];
  /** Moves all its threads to another CPU. */
  pin(cpu: number): void;
  /** Ends its processes. It may be called again, and at any time. */
  stop(): Promise<void>;
}

export interface PeerKind {
  name: string;
  /** It writes addresses of its own into the frames, which a generator that checks every frame calls changed. */
  rewrites?: boolean;
  /** Pages of 2 MiB that it takes. */
  hugePages(frameBytes: number): number;
  /** Throws when this machine does not have it: the message says what is missing and where it comes from. */
  start(options: PeerOptions): Promise<Peer>;
}

/** The command line of a shell that does the same. */
export function shellLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}
