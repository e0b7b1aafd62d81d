// The live page's server on its own, before a made-up switch: who may look, what they are told, and how many.

import { createServer, request } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { hostname } from "node:os";
import type { Handler } from "hono";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RingView } from "../../src/core/ring-view.js";
import type { LiveChange, LiveRing, LiveState } from "../../src/web/live.js";
import { type LiveOptions, type LiveServer, liveRoutes, startLiveServer } from "../../src/web/live-server.js";
import { FakeControl, waitingPort } from "../api/fake-control.js";
import { EventReader } from "./support/events.js";

const TOKEN = "0123456789abcdef";
const PAGE: Handler = (context, next) => (context.req.path === "/" ? context.html("<title>live</title>") : next());

let source: FakeControl;
const open: (LiveServer | EventReader)[] = [];
beforeEach(() => {
  source = new FakeControl();
});
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function serve(options: Partial<LiveOptions> = {}): Promise<LiveServer> {
  const server = await startLiveServer({
    ...{ host: "127.0.0.1", port: 0, hosts: [], token: TOKEN, source, page: PAGE },
    ...options,
  });
  open.push(server);
  return server;
}

async function stream(server: LiveServer, path = "v1/live"): Promise<EventReader> {
  const reader = await EventReader.open(server.url + path, TOKEN);
  open.push(reader);
  return reader;
}

describe("who may look", () => {
  const ask = async (path: string, headers: Record<string, string> = {}, method = "GET") => {
    const { app } = liveRoutes({ host: "127.0.0.1", port: 80, hosts: ["sw1.lan"], token: TOKEN, source, page: PAGE });
    const response = await app.request(`http://x${path}`, { method, headers: { host: "127.0.0.1:80", ...headers } });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  it.each(["/v1/state", "/v1/live", "/v1/ring?port=vm1&queue=0", "/v1/nothing"])("%s wants the token", async (path) => {
    for (const headers of [{}, bearer(""), bearer(`${TOKEN}x`), bearer(TOKEN.slice(1)), { authorization: TOKEN }]) {
      const { status, text } = await ask(path, headers as Record<string, string>);
      expect(status).toBe(401);
      expect(JSON.parse(text)).toEqual({
        error: "the token is missing or wrong: it stands in the URL that ringbridge run prints",
      });
    }
  });

  it("shows the state to who has it, the page to all, and lets neither be kept or framed", async () => {
    const state = await ask("/v1/state", bearer(TOKEN));
    expect(state.status).toBe(200);
    expect((JSON.parse(state.text) as LiveState).ports.map(({ name }) => name)).toEqual(["vm1", "vm2"]);
    expect(state.headers.get("cache-control")).toBe("no-store");
    const page = await ask("/");
    expect(page.text).toBe("<title>live</title>");
    const policy = page.headers.get("content-security-policy");
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; /);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|http/);
    for (const path of ["/package.json", "/../package.json", "/%2e%2e/package.json", "/v1", "//main.js"]) {
      expect((await ask(path)).status).toBe(404);
    }
  });

  it("changes nothing, whoever asks", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      for (const path of ["/", "/v1/state", "/v1/live", "/v1/fdb/flush"]) {
        const { status, headers } = await ask(path, bearer(TOKEN), method);
        expect([method, path, status]).toEqual([method, path, 405]);
        expect(headers.get("allow")).toBe("GET, HEAD");
      }
    }
    expect(source.flushes).toEqual([]);
  });

  it.each(["127.0.0.1", "127.0.0.1:9999", "[::1]:80", "localhost:80", "LOCALHOST", "192.0.2.1:80", "sw1.lan:8080"])(
    "is known under %s",
    async (host) => expect((await ask("/", { host })).status).toBe(200),
  );

  it("is known under its machine's name", async () => {
    expect((await ask("/", { host: `${hostname()}:1` })).status).toBe(200);
  });

  // A name that somebody else's DNS leads here must not read what is here.
  it.each(["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "x@127.0.0.1", "[::1", "a b"])(
    "is not known under %s",
    async (host) => {
      for (const path of ["/", "/v1/state"]) expect((await ask(path, { host, ...bearer(TOKEN) })).status).toBe(403);
    },
  );

  it("answers no other page", async () => {
    const origin = async (origin: string) => (await ask("/v1/state", { origin, ...bearer(TOKEN) })).status;
    expect(await origin("http://127.0.0.1:80")).toBe(200);
    for (const other of ["http://127.0.0.1:81", "http://evil.example", "null", "file://"]) {
      expect(await origin(other)).toBe(403);
    }
  });
});

describe("a stream", () => {
  it("tells all, then what is different", async () => {
    const reader = await stream(await serve());
    expect(reader.response.headers.get("content-type")).toContain("text/event-stream");
    const first = (await reader.next<LiveState>())!;
    expect(first.name).toBe("state");
    expect(first.data).toMatchObject({ version: "1.2.3", addresses: source.entries, messages: [] });
    expect(first.data.ports[0]).not.toHaveProperty("stateForMs");

    // The made-up switch counts frames at each look.
    const { name, data } = (await reader.next<LiveChange>())!;
    expect(name).toBe("change");
    expect(data.ports).toEqual([{ name: "vm1", rxFrames: expect.any(Number), rxBytes: expect.any(Number) }]);
    expect(data.takenAtMs).toBeGreaterThan(first.data.takenAtMs);
    expect(data).not.toHaveProperty("workers");

    // One goes, one comes, one loses its error and its process.
    source.ports = [{ ...source.ports[0]!, lastError: undefined, peerPid: undefined }, waitingPort("vm3", 7)];
    const changed = await reader.until<LiveChange>((change) => change.portsGone !== undefined);
    expect(changed.portsGone).toEqual(["vm2"]);
    expect(changed.ports).toMatchObject([
      { name: "vm1", lastError: null, peerPid: null },
      { name: "vm3", path: "/run/vm3.sock" },
    ]);
    expect(changed.ports![0]).not.toHaveProperty("features");
  });

  it("tells messages once to each, and counts those that were too many", async () => {
    let now = 0;
    source.messages = new (source.messages.constructor as typeof import("../../src/switch/message-log.js").MessageLog)({
      ...{ lines: 4, perSecond: 6, now: () => now },
    });
    const target = source.messages.begin({
      ...{ transcript: 1, version: "1", port: "vm1", role: "listen", started: "", session: {} },
    });
    const say = (ring: number) => target.write({ ms: 1, ring, event: "started", at: 3 });
    say(0);
    const reader = await stream(await serve());
    const first = (await reader.next<LiveState>())!.data;
    expect(first.messages).toMatchObject([{ port: "vm1", kind: "ring", name: "started", text: "ring 0 started at 3" }]);
    say(1);
    const change = await reader.until<LiveChange>(({ messages }) => messages !== undefined);
    expect(change.messages?.map(({ text }) => text)).toEqual(["ring 1 started at 3"]);
    now = 5000;
    for (let ring = 2; ring < 12; ring++) say(ring);
    const flood = await reader.until<LiveChange>(({ messages }) => messages !== undefined);
    // Six in a second, of which four are kept.
    expect(flood.messages?.map(({ text }) => text)).toEqual([4, 5, 6, 7].map((ring) => `ring ${ring} started at 3`));
    expect(flood.messagesMissed).toBe(6);
  });

  it("sends a list of addresses that has a bound", async () => {
    source.entries = Array.from({ length: 3000 }, () => ({ mac: "52:54:00:00:00:01", port: "vm1", ageSeconds: 1 }));
    const reader = await stream(await serve());
    expect((await reader.next<LiveState>())!.data.addresses).toHaveLength(1000);
    expect((await reader.until<LiveChange>(({ addresses }) => addresses !== undefined)).addresses).toHaveLength(1000);
  });

  it("costs nothing when nobody reads it any more", async () => {
    const server = await serve();
    const reader = await stream(server);
    await reader.until<LiveChange>(({ takenAtMs }) => takenAtMs > 500);
    reader.close();
    // The made-up switch's clock goes on when it is asked, and only then.
    let before: number;
    do {
      before = source.takenAtMs;
      await new Promise((resolve) => setTimeout(resolve, 700));
    } while (source.takenAtMs !== before);
    const again = await stream(server);
    expect((await again.next<LiveState>())!.data.takenAtMs).toBe(before + 500 * 2);
  });

  it("is given to so many clients and no more", async () => {
    const server = await serve({ clients: 2 });
    const [first] = [await stream(server), await stream(server)];
    await expect(stream(server)).rejects.toThrow('503 {"error":"2 clients look already: close one of them"}');
    // A ring is another stream.
    await stream(server, "v1/ring?port=vm1&queue=0");
    first.close();
    for (;;) {
      const opened = await stream(server).catch(() => undefined);
      if (opened !== undefined) break;
      await new Promise(setImmediate);
    }
  });

  it("is cut off from a client that does not read, and goes on for others", async () => {
    const server = await serve({ bufferBytes: 1 << 16, clients: 2, changeMs: 20, share: 1 });
    const sleeper = connect(Number(new URL(server.url).port), "127.0.0.1");
    const over = new Promise((resolve) => sleeper.on("error", () => {}).on("close", resolve));
    await new Promise((resolve) => sleeper.once("connect", resolve));
    sleeper.write(`GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`);
    await new Promise((resolve) => sleeper.once("data", resolve));
    sleeper.pause();
    const reader = await stream(server);
    // What the kernel's buffers take waits for nobody.
    for (let round = 0; ; round++) {
      source.ports[1]!.lastError = `${round} ${"x".repeat(1 << 20)}`;
      await reader.until<LiveChange>(({ ports }) => ports?.some(({ name }) => name === "vm2") ?? false);
      const third = await stream(server).catch((error: Error) => error.message);
      if (third instanceof EventReader) break;
      expect(third).toContain("2 clients look already");
    }
    sleeper.resume();
    await over;
  });

  it("ends with the server", async () => {
    const server = await serve();
    const reader = await stream(server);
    await reader.next();
    open.splice(open.indexOf(server), 1);
    await server.close();
    await reader.until(() => false).catch((error: Error) => expect(error.message).toMatch(/ended|terminated/));
  });
});

describe("a ring", () => {
  const view = (position: number): RingView => ({
    ...{ kind: "packed", size: 1, device: { position, wrap: 1 }, entries: [], movedBy: 0 },
    ...{ driverArea: { flags: 0, position: 0, wrap: 0 }, deviceArea: { flags: 0, position: 0, wrap: 0 } },
  });

  it("is told as it moves, or why it is not there", async () => {
    source.rings["vm1/1"] = view(0);
    const reader = await stream(await serve(), "v1/ring?port=vm1&queue=1");
    expect((await reader.next<LiveRing>())!).toMatchObject({
      name: "ring",
      data: { port: "vm1", queue: 1, ring: view(0) },
    });
    source.rings["vm1/1"] = view(5);
    expect(
      (await reader.until<LiveRing>(({ ring }) => ring?.kind === "packed" && ring.device.position === 5)).absent,
    ).toBe(undefined);
    source.rings["vm1/1"] = { absent: "queue 1 does not run" };
    expect((await reader.until<LiveRing>(({ ring }) => ring === undefined)).absent).toBe("queue 1 does not run");
    source.ports = [];
    expect(await reader.until<LiveRing>(({ absent }) => absent === "the port is gone")).toBeDefined();
  });

  it("is one of a port that there is", async () => {
    const server = await serve();
    await expect(stream(server, "v1/ring?port=vm9&queue=1")).rejects.toThrow(
      '404 {"error":"there is no port \\"vm9\\""}',
    );
    await expect(stream(server, "v1/ring?queue=1")).rejects.toThrow("404");
    for (const queue of ["", "x", "-1", "1e9", "123456"]) {
      await expect(stream(server, `v1/ring?port=vm1&queue=${queue}`)).rejects.toThrow("400");
    }
  });
});

describe("a start", () => {
  it("makes a token where none was given, another each time", async () => {
    const servers = [await serve({ token: undefined }), await serve({ token: undefined })];
    const tokens = servers.map(({ url, urlToOpen }) => {
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
      return urlToOpen.slice(`${url}#token=`.length);
    });
    expect(tokens[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(tokens[0]).not.toBe(tokens[1]);
    open.push(await EventReader.open(`${servers[0]!.url}v1/live`, tokens[0]!));
    await expect(EventReader.open(`${servers[0]!.url}v1/live`, tokens[1]!)).rejects.toThrow("401");
    expect((await serve()).urlToOpen).not.toContain("token");
  });

  it("says what is wrong with an address", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as AddressInfo;
    await expect(serve({ port })).rejects.toThrow(
      `cannot serve the live page at 127.0.0.1 port ${port}: another program listens there`,
    );
    other.close();
    await expect(serve({ host: "192.0.2.1" })).rejects.toThrow("this machine does not have that address");
  });

  it("takes a request for a HEAD, too", async () => {
    const { url } = await serve();
    const status = await new Promise((resolve) => {
      request(url, { method: "HEAD" }, (response) => resolve(response.statusCode)).end();
    });
    expect(status).toBe(200);
  });
});
