// A process that looks at a switch, told when to begin and to end: at the live page's streams as the page does, but it draws
// nothing; or at a port's frames, as `ringbridge capture -w` does, but it keeps nothing.

import { ControlClient, type RunningCapture } from "../../src/api/control-client.js";
import { CaptureReader } from "../../src/capture/read.js";

export type ClientOrder =
  | { open: string[]; token: string }
  | { capture: string; control: string; unread: boolean }
  | { close: true };
export type ClientAnswer = { opened: true } | { closed: ClientCounts };
/** Events or frames that came; frames that passed the captured port. */
export interface ClientCounts {
  events: number;
  bytes: number;
  passed: number;
}

let stop = new AbortController();
let counts: ClientCounts;
let begun = 0;
let capture: RunningCapture | undefined;

process.on("message", (order: ClientOrder) => {
  if ("close" in order) return close();
  counts = { events: 0, bytes: 0, passed: 0 };
  stop = new AbortController();
  if ("open" in order) open(order);
  else void record(order);
});
process.on("disconnect", () => process.exit(0));

function open({ open: urls, token }: Extract<ClientOrder, { open: string[] }>): void {
  begun = 0;
  for (const url of urls) void read(url, token, urls.length);
}

async function read(url: string, token: string, streams: number): Promise<void> {
  try {
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, signal: stop.signal });
    if (response.status !== 200) throw new Error(`${url}: ${response.status}`);
    const decoder = new TextDecoder();
    let text = "";
    let first = true;
    for await (const piece of response.body!) {
      counts.bytes += piece.byteLength;
      text += decoder.decode(piece, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        JSON.parse(block.slice(block.indexOf("data: ") + 6));
        counts.events++;
        if (first && ++begun === streams) answer({ opened: true });
        first = false;
      }
    }
  } catch (error) {
    if (stop.signal.aborted) return;
    throw error;
  }
}

/** Reads to the end of the file, where the port's counts are. */
async function record({ capture: port, control, unread }: Extract<ClientOrder, { capture: string }>): Promise<void> {
  capture = await new ControlClient(control).capture({ ports: [port] });
  answer({ opened: true });
  if (unread) await new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve()));
  const reader = new CaptureReader(() => {
    counts.events++;
  });
  for await (const piece of capture.pieces) {
    counts.bytes += piece.byteLength;
    reader.push(piece);
  }
  capture = undefined;
  answer({ closed: { ...counts, passed: Number(reader.interfaces[0]!.received) } });
}

function close(): void {
  stop.abort();
  if (capture) return void capture.stop();
  answer({ closed: counts });
}

function answer(message: ClientAnswer): void {
  process.send!(message);
}
