// The control socket from both ends, over a real unix socket.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ControlClient } from "../../src/api/control-client.js";
import { type ControlServer, controlRoutes, startControlServer } from "../../src/api/control-server.js";
import { ConfigError } from "../../src/config/problems.js";
import { FakeControl } from "./fake-control.js";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-api-"));
  path = join(folder, "control.sock");
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("a switch and a client", () => {
  let control: FakeControl;
  let server: ControlServer;
  let client: ControlClient;
  beforeEach(async () => {
    control = new FakeControl();
    server = await startControlServer({ path, control });
    client = new ControlClient(path);
  });
  afterEach(() => server.close());

  it("tell version, status and FDB", async () => {
    expect(await client.version()).toEqual({ name: "ringbridge", version: "1.2.3", api: 1, pid: process.pid });
    const status = await client.status();
    expect(status.ports.map(({ name }) => name)).toEqual(["vm1", "vm2"]);
    expect(status).toEqual({ ...new FakeControl().status(), takenAtMs: status.takenAtMs, ports: status.ports });
    expect(await client.fdb()).toEqual(control.entries);
  });

  it("flush the FDB of all ports or of one", async () => {
    expect(await client.flushFdb()).toBe(1);
    expect(await client.flushFdb("vm2")).toBe(1);
    expect(control.flushes).toEqual([undefined, "vm2"]);
    await expect(client.flushFdb("a&b")).rejects.toThrow('there is no port "a&b": the ports are vm1, vm2');
    expect(control.flushes).toHaveLength(2);
  });

  it("reload, and pass on why not", async () => {
    expect(await client.reload()).toEqual({ added: ["c"], removed: [], changed: [], unchanged: ["vm1"] });
    control.onReload = async () => {
      throw new ConfigError(["net.yaml:1:1: workers: wrong", "net.yaml:2:1: poll: wrong"]);
    };
    await expect(client.reload()).rejects.toThrow("net.yaml:1:1: workers: wrong\nnet.yaml:2:1: poll: wrong");
  });

  it("leave a socket that only the owner may open, and remove it at the end", async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await server.close();
    expect(existsSync(path)).toBe(false);
    await expect(client.status()).rejects.toThrow(
      `no switch runs here (there is no ${path}): start one with "ringbridge run", or give its --control path`,
    );
  });

  it("answer many questions at once", async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => client.version()));
    expect(answers.every(({ version }) => version === "1.2.3")).toBe(true);
  });
});

describe("routes", () => {
  const ask = async (method: string, route: string, control = new FakeControl()) => {
    const response = await controlRoutes(control).request(`http://ringbridge${route}`, { method });
    return { status: response.status, allow: response.headers.get("allow"), body: await response.json() };
  };

  it("name what does not exist and the method that is wanted", async () => {
    expect(await ask("GET", "/v2/x")).toEqual({
      status: 404,
      allow: null,
      body: { error: "there is nothing at /v2/x" },
    });
    expect(await ask("GET", "/v1/reload")).toEqual({
      status: 405,
      allow: "POST",
      body: { error: "/v1/reload takes POST, not GET" },
    });
    expect((await ask("DELETE", "/v1/fdb")).allow).toBe("GET");
  });

  it("tell a refused configuration from a failure", async () => {
    const control = new FakeControl();
    control.onReload = () => Promise.reject(new ConfigError(["wrong"]));
    expect(await ask("POST", "/v1/reload", control)).toEqual({ status: 422, allow: null, body: { error: "wrong" } });
    control.onReload = () => Promise.reject(new Error("out of descriptors"));
    expect(await ask("POST", "/v1/reload", control)).toMatchObject({
      status: 500,
      body: { error: "out of descriptors" },
    });
  });
});

describe("the path of a server", () => {
  const start = (at: string) => startControlServer({ path: at, control: new FakeControl() });

  it("must be in a folder that exists", async () => {
    const at = join(folder, "none", "c.sock");
    await expect(start(at)).rejects.toThrow(`${at}: the folder ${join(folder, "none")} does not exist; create it`);
  });

  it("must not be a file of something else", async () => {
    writeFileSync(path, "precious");
    await expect(start(path)).rejects.toThrow(`${path}: there is a file that is no socket; move it away`);
    expect(statSync(path).isFile()).toBe(true);
  });

  it("must not be that of a live switch, which goes on", async () => {
    const first = await start(path);
    const umask = process.umask();
    await expect(start(path)).rejects.toThrow(`${path}: process ${process.pid} listens here; stop it`);
    expect(process.umask()).toBe(umask);
    expect((await new ControlClient(path).version()).version).toBe("1.2.3");
    await first.close();
  });

  it("may be left over from a dead switch", async () => {
    // A process that is killed leaves its socket behind.
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(statSync(path).isSocket()).toBe(true);
    await expect(new ControlClient(path).status()).rejects.toThrow(`no switch runs here (${path} is left over`);
    const server = await start(path);
    expect((await new ControlClient(path).version()).version).toBe("1.2.3");
    await server.close();
  });
});

describe("a client in front of something else", () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  /** Answers every connection with `answer`, or not at all. */
  async function serve(answer: string | undefined): Promise<void> {
    server = createServer((socket) => {
      socket.on("error", () => {});
      if (answer !== undefined) socket.once("data", () => socket.end(answer));
    });
    await new Promise<void>((resolve) => server?.listen(path, resolve));
  }

  it.each([
    ["no HTTP", "hello\r\n\r\n"],
    ["no JSON", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"],
  ])("that speaks %s says so", async (_, answer) => {
    await serve(answer);
    await expect(new ControlClient(path).status()).rejects.toThrow(
      `${path} does not answer as a ringbridge switch does: check the path of --control`,
    );
  });

  it("that closes says so", async () => {
    await serve("");
    await expect(new ControlClient(path).status()).rejects.toThrow(
      `the switch at ${path} went away in the middle of the answer`,
    );
  });

  it("that fails without words tells the status", async () => {
    await serve("HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nnull");
    await expect(new ControlClient(path).status()).rejects.toThrow(
      `the switch at ${path} answered with HTTP status 503`,
    );
  });

  it("that never answers gives up", async () => {
    await serve(undefined);
    await expect(new ControlClient(path, 50).status()).rejects.toThrow(
      `the switch at ${path} has not answered for 0.05 s`,
    );
  });
});
