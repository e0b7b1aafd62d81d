// `ringbridge explore` as it is run: what it serves, and how it ends.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { main } from "../../src/cli/program.js";
import { FakeIo } from "./fake-io.js";

test("serves the page and its modules on loopback, and ends with a signal", async () => {
  const io = new FakeIo();
  const ended = main(["explore", "--port", "0"], io);
  await io.until(() => io.out.includes("http://"));
  const url = io.out.match(/http:\/\/127\.0\.0\.1:\d+\//)![0];

  const page = await fetch(url);
  expect(page.status).toBe(200);
  expect(page.headers.get("content-type")).toContain("text/html");
  const html = await page.text();
  const names = [...html.matchAll(/(?:src|href)="([^"#?:]+\.(?:js|css))"/g)].map((match) => match[1]!);
  expect(names).toContain("main.js");
  for (const name of [...names, "core.traced.wasm", "sources.bin"]) {
    const answer = await fetch(new URL(name, url));
    expect([name, answer.status]).toEqual([name, 200]);
    expect((await answer.arrayBuffer()).byteLength).toBeGreaterThan(0);
  }
  // fetch would take the dots away itself.
  expect((await fetch(`${url}%2e%2e/wasm/core.release.wasm`)).status).toBe(404);
  expect((await fetch(`${url}nothing.js`)).status).toBe(404);

  io.signals.emit("SIGTERM");
  expect(await ended).toBe(0);
  expect(io.listeners()).toBe(0);
  await expect(fetch(url)).rejects.toThrow();
});

test("a port that is taken is named; without a wish another one is found", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  const io = new FakeIo();
  expect(await main(["explore", "--port", String(port)], io)).toBe(1);
  expect(io.err).toContain(`port ${port} of 127.0.0.1 is taken`);
  other.close();

  expect(await main(["explore", "--port", "70000"], io)).toBe(2);
  expect(io.err).toContain("0 to 65535");
});
