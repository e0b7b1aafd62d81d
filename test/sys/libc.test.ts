// Loading the C library: not before it is used, not where it cannot work, and errors one can read.

import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { errnoOf, isSystemError, pinned, SystemError, unsupportedReason } from "../../src/sys/libc.js";
import { closeFd, createMemfd, dupFd } from "../../src/sys/memfd.js";
import { compileSys } from "./compiled.js";
import { describeLinux, useFolders } from "./linux.js";

describe("where the system calls work", () => {
  it("says what is missing elsewhere", () => {
    expect(unsupportedReason("linux", "x64")).toBeNull();
    expect(unsupportedReason("linux", "arm64")).toBeNull();
    expect(unsupportedReason("darwin", "arm64")).toBe(
      "The switch maps guest memory with Linux system calls, and this is darwin: run it on Linux.",
    );
    expect(unsupportedReason("linux", "riscv64")).toContain("this is riscv64");
  });
});

describeLinux("the C library", () => {
  const folder = useFolders();

  function run(compiled: string, script: string): string {
    const file = join(compiled, "script.js");
    writeFileSync(file, script);
    const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: "utf8" });
    return stdout + stderr;
  }

  it("is loaded by the first call, not by an import", () => {
    const script = `
      import { createRequire } from "node:module";
      import { libc } from "./sys/libc.js";
      import "./sys/reactor.js";
      import "./sys/stale.js";
      import "./sys/mapping.js";
      import "./sys/affinity.js";
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes("koffi"));
      console.log(loaded(), libc().getgrnam("no such group"), loaded());`;
    expect(run(compileSys(folder()), script)).toBe("false null true\n");
  });

  it("says what to install when koffi is missing", () => {
    const compiled = compileSys(folder());
    rmSync(join(compiled, "node_modules"));
    const script = `
      import { libc, SystemUnavailable } from "./sys/libc.js";
      try { libc(); } catch (error) { console.log(error instanceof SystemUnavailable, error.message); }`;
    expect(run(compiled, script)).toMatch(/^true The npm package koffi.*\(Cannot find module 'koffi'\).*npm install/);
  });

  it("names errors as the kernel does", () => {
    const error = new SystemError("connect", errnoOf("ECONNREFUSED"), "/run/x.sock", "start it first");
    expect(error.message).toBe("connect /run/x.sock: connection refused (ECONNREFUSED): start it first");
    expect(error).toMatchObject({ code: "ECONNREFUSED", errno: 111, syscall: "connect", path: "/run/x.sock" });
    expect(isSystemError(error, "ENOENT", "ECONNREFUSED")).toBe(true);
    expect(isSystemError(error, "ENOENT")).toBe(false);
    expect(isSystemError(new Error("ECONNREFUSED"), "ECONNREFUSED")).toBe(false);
    expect(new SystemError("read", 11).code).toBe("EAGAIN");
    expect(new SystemError("read", 4095).message).toBe("read: E4095");
  });

  it("pins memory whose address stays", () => {
    const { bytes, view, address } = pinned(16);
    expect(address > 0n).toBe(true);
    view.setUint32(4, 0x01020304, true);
    expect([...bytes.subarray(4, 8)]).toEqual([4, 3, 2, 1]);
  });

  it("closes a descriptor once", () => {
    const fd = createMemfd("once", 4096);
    const copy = dupFd(fd);
    expect(copy).toBeGreaterThan(2);
    closeFd(fd);
    closeFd(copy);
    expect(() => closeFd(copy)).toThrow(`descriptor ${copy} is not open`);
    expect(() => dupFd(copy)).toThrow(/EBADF/);
  });

  it("leaves no descriptor behind when a memory file cannot be made", () => {
    expect(() => createMemfd("negative", -1)).toThrow(/ftruncate negative: .*\(EINVAL\)/);
    expect(() => createMemfd("x".repeat(300), 1)).toThrow(/memfd_create/);
    expect(() => createMemfd("huge", 4096, { hugePages: true })).toThrow(SystemError);
  });
});
