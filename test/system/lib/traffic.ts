// What the tests let guests send, and how they count what arrived.
import type { Job } from "./channel.js";
import type { Guest as AnyGuest } from "./guest.js";

/** What traffic needs of a guest, whoever started it. */
export type Guest = Pick<AnyGuest, "ip" | "run" | "must" | "job">;

/** How many replies came to `count` pings of so many `bytes`; `interval` in seconds. The guest waits up to 10 s for the last ones. */
export async function ping(
  from: Pick<Guest, "run">,
  to: Pick<Guest, "ip">,
  count: number,
  interval = 0.02,
  bytes = 56,
): Promise<number> {
  const limitMs = (count * interval + 30) * 1000;
  return repliesIn((await from.run(pingCommand(to.ip, count, interval, bytes), limitMs)).output);
}

/** So many pings in the background; repliesIn tells from the job's output how many were answered. */
export function pingJob(from: Guest, to: Guest, count: number, interval = 0.05): Promise<Job> {
  return from.job(pingCommand(to.ip, count, interval));
}

/** More than anything here takes. */
const PINGS_MOST = 10_000;

/** What a guest that pinged all the while saw: pings sent, lost in all, and in a row at most. */
export interface PingsSeen {
  sent: number;
  lost: number;
  row: number;
}

/** Pings for as long as something takes. */
export class Pings {
  private constructor(
    private readonly from: Guest,
    private readonly job: Job,
  ) {}

  static async start(from: Guest, to: Guest, intervalSeconds: number): Promise<Pings> {
    return new Pings(from, await from.job(`ping -c ${PINGS_MOST} -i ${intervalSeconds} ${to.ip}`));
  }

  /** Ends them, as Ctrl-C does. */
  async end(): Promise<PingsSeen> {
    await this.from.must("kill -INT $(pidof ping)");
    const { output } = await this.job.result(30_000);
    const sent = Number(/(\d+) packets transmitted/.exec(output)?.[1]);
    if (!(sent > 0)) throw new Error(`ping said: ${output}`);
    const answered = new Set([...output.matchAll(/seq=(\d+) /g)].map(([, seq]) => Number(seq)));
    let row = 0;
    let longest = 0;
    for (let seq = 0; seq < sent; seq++) {
      row = answered.has(seq) ? 0 : row + 1;
      longest = Math.max(longest, row);
    }
    return { sent, lost: sent - answered.size, row: longest };
  }
}

export function repliesIn(output: string): number {
  const received = /(\d+) packets received/.exec(output)?.[1];
  if (received === undefined) throw new Error(`ping said: ${output}`);
  return Number(received);
}

function pingCommand(ip: string, count: number, interval: number, bytes = 56): string {
  return `ping -q -c ${count} -i ${interval} -s ${bytes} ${ip}`;
}

/** Waits until a ping is answered: for the time after something was taken away and put back. */
export async function pingUntilAnswered(from: Guest, to: Guest, limitMs = 60_000): Promise<void> {
  await from.must(`until ping -q -c 1 -w 1 ${to.ip}; do :; done`, limitMs);
}

const blockMib = 4;
const bulkPort = 5001;
// A stream of random blocks, so that a lost, doubled or reordered piece changes the hash. One block is made once and
// sent over and over: making random bytes would take an emulated guest longer than sending them.
const makeBlock = `[ -e /tmp/block ] || dd if=/dev/urandom of=/tmp/block bs=1M count=${blockMib} 2>/dev/null`;
const stream = (mib: number) => `for i in $(seq ${mib / blockMib}); do cat /tmp/block; done`;
// nc ends when its input does, so the receiver's must stay open until the sender has said all: a pipe nobody closes.
const receive = (into: string) => `[ -p /tmp/open ] || mkfifo /tmp/open; nc -l -p ${bulkPort} <>/tmp/open | ${into}`;

/** SHA-256 of a TCP stream of `mib` MiB (a multiple of 4) as sent and as received. */
export async function bulk(from: Guest, to: Guest, mib: number): Promise<{ sent: string; received: string }> {
  const limitMs = 60_000 + mib * 2000;
  await from.must(makeBlock);
  const sent = await from.must(`{ ${stream(mib)}; } | sha256sum`, limitMs);
  const receiver = await listen(to, "sha256sum");
  await from.must(`{ ${stream(mib)}; } | nc ${to.ip} ${bulkPort}`, limitMs);
  const received = await receiver.result(30_000);
  return { sent: sent.slice(0, 64), received: received.output.slice(0, 64) };
}

/** A TCP stream without end, to do something in the middle of: its two ends, for the test to stop. */
export async function endlessStream(from: Guest, to: Guest): Promise<{ sender: Job; receiver: Job }> {
  await from.must(makeBlock);
  const receiver = await listen(to, "cat >/dev/null");
  return { sender: await from.job(`while :; do cat /tmp/block; done | nc ${to.ip} ${bulkPort}`), receiver };
}

/** SHA-256 of a TCP stream as sent and as received, which flows for as long as `action` takes. */
export async function bulkDuring(
  from: Guest,
  to: Guest,
  action: () => Promise<void>,
): Promise<{ sent: string; received: string }> {
  await from.must(makeBlock);
  await from.must("rm -f /tmp/enough; [ -p /tmp/sum ] || mkfifo /tmp/sum");
  const receiver = await listen(to, "sha256sum");
  const endless = "while [ ! -e /tmp/enough ]; do cat /tmp/block; done";
  const sender = await from.job(`sha256sum </tmp/sum & ${endless} | tee /tmp/sum | nc ${to.ip} ${bulkPort}; wait`);
  try {
    await action();
  } catch (error) {
    // The next test is to find the port and the guests free.
    for (const job of [sender, receiver]) await job.stop();
    throw error;
  }
  await from.must("touch /tmp/enough");
  const [sent, received] = [await sender.result(120_000), await receiver.result(120_000)];
  return { sent: sent.output.slice(0, 64), received: received.output.slice(0, 64) };
}

async function listen(guest: Guest, into: string): Promise<Job> {
  const job = await guest.job(receive(into));
  // 1389 is port 5001 in the kernel's notation, 0A its LISTEN.
  await guest.must("until grep -q ':1389 00000000:0000 0A' /proc/net/tcp; do usleep 50000; done");
  return job;
}

/** Frames this guest's NIC has received, and the echo requests among them (also those not meant to be answered). */
export async function received(guest: Guest): Promise<{ frames: number; echoRequests: number }> {
  const text = await guest.must("cat /sys/class/net/eth0/statistics/rx_packets; grep IcmpMsg /proc/net/snmp || true");
  const [frames, names = "", values = ""] = text.trim().split("\n");
  const column = names.split(" ").indexOf("InType8");
  return { frames: Number(frames), echoRequests: column < 0 ? 0 : Number(values.split(" ")[column]) };
}

/** Makes the guest know the other's address for good, so that no ARP frame disturbs a count. */
export async function knowAddress(guest: Guest, ip: string, mac: string): Promise<void> {
  await guest.must(`arp -s ${ip} ${mac}`);
}
