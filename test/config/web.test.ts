// The address and token of the live page: where it may listen, and what is said when it may not.

import { describe, expect, it } from "vitest";
import { type ConfigSources, loadConfig } from "../../src/config/load.js";
import { ConfigError } from "../../src/config/problems.js";
import { isLoopback, parseWebAddress } from "../../src/config/web.js";

const TOKEN = "0123456789abcdef";
const OTHER = "fedcba9876543210";

function web(text: string, flags?: { listen?: string; token?: string }, env: ConfigSources["env"] = {}) {
  return loadConfig({ file: "/etc/net.yaml", text, flags: { web: flags }, env }).web;
}

function fault(...given: Parameters<typeof web>): string[] {
  try {
    web(...given);
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

describe("an address", () => {
  it.each([
    ["127.0.0.1:8080", { host: "127.0.0.1", port: 8080 }],
    ["localhost:0", { host: "127.0.0.1", port: 0 }],
    ["8080", { host: "127.0.0.1", port: 8080 }],
    ["[::1]:80", { host: "::1", port: 80 }],
    ["0.0.0.0:65535", { host: "0.0.0.0", port: 65535 }],
  ])("%s", (text, address) => {
    expect(parseWebAddress(text)).toEqual(address);
  });

  it.each([
    "",
    "127.0.0.1",
    "127.0.0.1:",
    "::1:80",
    "[127.0.0.1]:80",
    "a.example:80",
    "1.2.3.4:65536",
    "127.1:80",
    ":80",
  ])("is not %j", (text) => {
    expect(parseWebAddress(text)).toBeUndefined();
  });

  it("is one of this machine only when no other can reach it", () => {
    const loopback = ["127.0.0.1", "127.9.9.9", "::1", "0:0:0:0:0:0:0:1"];
    const other = ["0.0.0.0", "192.168.0.1", "::", "::2", "fe80::1", "::ffff:127.0.0.1", "1::1"];
    expect([...loopback, ...other].filter(isLoopback)).toEqual(loopback);
  });
});

describe("the section of the file", () => {
  it("is an address alone or a map, and absent by default", () => {
    expect(web("")).toBeUndefined();
    expect(web("web: 127.0.0.1:8080")).toEqual({ host: "127.0.0.1", port: 8080, hosts: [] });
    expect(web("web: 8080")).toEqual({ host: "127.0.0.1", port: 8080, hosts: [] });
    expect(web(`web: { listen: "0.0.0.0:80", token: ${TOKEN}, hosts: [sw1.lan] }`)).toEqual({
      ...{ host: "0.0.0.0", port: 80, token: TOKEN, hosts: ["sw1.lan"] },
    });
  });

  it("gives way to the variable, and both to the flags", () => {
    const text = `web: { listen: "127.0.0.1:1", token: ${TOKEN} }`;
    expect(web(text, { listen: "127.0.0.1:2" })).toMatchObject({ port: 2, token: TOKEN });
    expect(web(text, {}, { RINGBRIDGE_WEB_TOKEN: OTHER })).toMatchObject({ port: 1, token: OTHER });
    const third = "third-token-of-its-own";
    expect(web(text, { token: third }, { RINGBRIDGE_WEB_TOKEN: OTHER })).toMatchObject({ token: third });
    expect(web("", {}, { RINGBRIDGE_WEB_TOKEN: "bad" })).toBeUndefined();
  });

  it("may not be open to other machines without a token", () => {
    const why = "0.0.0.0 can be reached from other machines: give the token that browsers must show";
    expect(fault('web: { listen: "0.0.0.0:80" }')).toEqual([
      expect.stringContaining(`/etc/net.yaml:1:16: web.listen: ${why}`),
    ]);
    expect(fault("web: 0.0.0.0:80")).toEqual([expect.stringContaining(`/etc/net.yaml:1:6: web.listen: ${why}`)]);
    expect(fault("", { listen: "0.0.0.0:80" })).toEqual([expect.stringContaining(`--web: ${why}`)]);
    // A token in the file of one that the flag moves elsewhere will do.
    expect(web(`web: { listen: "127.0.0.1:1", token: ${TOKEN} }`, { listen: "[::]:1" })).toMatchObject({ host: "::" });
  });

  it("names what is wrong without repeating a token", () => {
    expect(fault("web: nowhere")).toEqual([
      expect.stringMatching(/:1:6: web.listen: must be an address .*, not "nowhere"/),
    ]);
    expect(fault("web: true")).toEqual([
      expect.stringContaining("web: must be an address or a map of listen, token, hosts"),
    ]);
    expect(fault("web: { listn: 1 }")[0]).toContain('web.listn: unknown key (did you mean "listen"?)');
    expect(fault('web: { listen: "127.0.0.1:1", hosts: ["a b"] }')[0]).toContain("web.hosts.0: must be a host name");
    for (const token of ["short", "with spaces in it, long enough"]) {
      const lines = [
        fault("", { listen: "127.0.0.1:1", token }),
        fault("web: 127.0.0.1:1", {}, { RINGBRIDGE_WEB_TOKEN: token }),
        fault(`web: { listen: "127.0.0.1:1", token: "${token}" }`),
      ].flat();
      expect(lines.map((line) => line.split(": must be 16")[0])).toEqual([
        "--web-token",
        "RINGBRIDGE_WEB_TOKEN",
        "/etc/net.yaml:1:38: web.token",
      ]);
      expect(lines.join()).not.toContain(token);
    }
    expect(fault("", { token: TOKEN })).toEqual([
      "--web-token: nothing listens: give an address too (--web or web.listen)",
    ]);
    expect(fault(`web: { token: ${TOKEN} }`)[0]).toContain("/etc/net.yaml:1:15: web.token: nothing listens");
  });
});
