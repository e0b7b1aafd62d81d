// A process that looks at a live page's streams as the page does, but draws nothing: told when to begin and to end.

export type ClientOrder = { open: string[]; token: string } | { close: true };
export type ClientAnswer = { opened: number } | { closed: true; events: number; bytes: number };

let stop = new AbortController();
let events = 0;
let bytes = 0;
let begun = 0;

process.on("message", (order: ClientOrder) => {
  if ("open" in order) void open(order);
  else close();
});
process.on("disconnect", () => process.exit(0));

async function open({ open: urls, token }: Extract<ClientOrder, { open: string[] }>): Promise<void> {
  stop = new AbortController();
  events = bytes = begun = 0;
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
      bytes += piece.byteLength;
      text += decoder.decode(piece, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        JSON.parse(block.slice(block.indexOf("data: ") + 6));
        events++;
        if (first && ++begun === streams) answer({ opened: streams });
        first = false;
      }
    }
  } catch (error) {
    if (stop.signal.aborted) return;
    throw error;
  }
}

function close(): void {
  stop.abort();
  answer({ closed: true, events, bytes });
}

function answer(message: ClientAnswer): void {
  process.send!(message);
}
