// What a guest's NIC received, as tcpdump in the guest saw it, and what tshark on the host thinks of it.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Guest } from "./guest.js";
import { programOnPath } from "./needs.js";
import { scratch } from "./process.js";

const execute = promisify(execFile);
let captures = 0;

export interface Captured {
  /** Bytes of each frame as it was on the wire. */
  lengths: number[];
  /** How many checksums (IPv4's header, TCP, UDP) were right, and how many wrong. */
  good: number;
  bad: number;
}

/**
 * The first `count` incoming frames that match `filter` while `action` runs. GRO is off meanwhile, which would put them
 * together again. `bytes` of each are kept: all, or as many as the lengths alone need.
 */
export async function capture(
  guest: Guest,
  nic: string,
  options: { filter: string; count: number; bytes?: number },
  action: () => Promise<void>,
): Promise<Captured> {
  const { filter, count, bytes = 0 } = options;
  await guest.must(`ethtool -K ${nic} gro off`);
  const job = await guest.job(`tcpdump -Z root -Q in -i ${nic} -s ${bytes} -c ${count} -w /tmp/capture '${filter}'`);
  // Below the heading, one line for each socket that sees frames.
  await guest.must("until [ $(wc -l </proc/net/packet) -gt 1 ]; do usleep 50000; done");
  await action();
  const { status: ended, output } = await job.result(60_000);
  if (ended !== 0) throw new Error(`tcpdump in guest ${guest.name}: ${output}`);
  const encoded = await guest.must("base64 /tmp/capture; rm /tmp/capture", 60_000);
  await guest.must(`ethtool -K ${nic} gro on`);
  const file = join(scratch, `capture${++captures}.pcap`);
  writeFileSync(file, Buffer.from(encoded, "base64"));
  return await judge(file);
}

/** tshark's fields of every frame of a capture file. */
async function judge(file: string): Promise<Captured> {
  const checked = ["ip", "tcp", "udp"];
  const { stdout } = await execute(
    programOnPath("tshark")!,
    [
      ...["-n", "-r", file, "-T", "fields", "-e", "frame.len"],
      ...checked.flatMap((layer) => ["-o", `${layer}.check_checksum:TRUE`, "-e", `${layer}.checksum.status`]),
    ],
    { maxBuffer: 1 << 26 },
  );
  const rows = stdout.trim().split("\n");
  const fields = rows.map((row) => row.split("\t"));
  const status = fields.flatMap((row) => row.slice(1)).filter((value) => value !== undefined && value !== "");
  return {
    lengths: fields.map(([length]) => Number(length)),
    good: status.filter((value) => value === "1" || value === "Good").length,
    bad: status.filter((value) => value === "0" || value === "Bad").length,
  };
}
