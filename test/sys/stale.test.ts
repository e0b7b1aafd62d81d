// Claiming a socket path: a dead owner's file goes, everything else stays where it is.

import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { countOpenFds } from "../../src/sys/open-fds.js";
import { acceptUnix, connectUnix, listenUnix } from "../../src/sys/socket.js";
import { claimSocketPath, SocketPathError } from "../../src/sys/stale.js";
import { compileSys } from "./compiled.js";
import { describeLinux, useDescriptors, useFolders } from "./linux.js";

function refusal(path: string): SocketPathError {
  try {
    claimSocketPath(path);
  } catch (error) {
    if (error instanceof SocketPathError) return error;
    throw error;
  }
  throw new Error(`${path} was not refused`);
}

describeLinux("claiming a socket path", () => {
  const folder = useFolders();
  const { own, close } = useDescriptors();

  it("finds a path free where nothing is", () => {
    const path = join(folder(), "s");
    expect(claimSocketPath(path)).toBe("free");
    expect(existsSync(path)).toBe(false);
  });

  it("removes the socket a dead process left, and the path can be listened on", () => {
    const path = join(folder(), "s");
    const killed = `require("node:net").createServer()
      .listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    expect(spawnSync(process.execPath, ["-e", killed]).signal).toBe("SIGKILL");
    expect(lstatSync(path).isSocket()).toBe(true);
    expect(claimSocketPath(path)).toBe("removed");
    expect(existsSync(path)).toBe(false);
    own(listenUnix(path));
  });

  it("refuses the socket of a live process, names it and leaves it listening", () => {
    const path = join(folder(), "s");
    const listener = own(listenUnix(path));
    const before = countOpenFds();
    const error = refusal(path);
    expect(error).toMatchObject({ reason: "live", pid: process.pid, path });
    expect(error.message).toBe(`${path}: process ${process.pid} listens here; stop it or choose another path`);
    expect(countOpenFds()).toBe(before);
    own(acceptUnix(listener) ?? -1); // The probe's connection, already closed by it.
    own(connectUnix(path));
  });

  it("refuses the socket of a live process whose queue is full", () => {
    const path = join(folder(), "s");
    own(listenUnix(path, { backlog: 0 }));
    own(connectUnix(path));
    expect(refusal(path)).toMatchObject({ reason: "live", pid: undefined });
    expect(lstatSync(path).isSocket()).toBe(true);
  });

  it("refuses the socket of a live Node server", async () => {
    const path = join(folder(), "s");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    expect(refusal(path).reason).toBe("live");
    await new Promise((resolve) => server.close(resolve));
  });

  it("takes a socket that is bound but not listened on for a dead one", () => {
    const path = join(folder(), "s");
    const listener = own(listenUnix(path));
    close(listener);
    expect(claimSocketPath(path)).toBe("removed");
  });

  it("refuses files, folders and links, and keeps them", () => {
    const there = folder();
    writeFileSync(join(there, "file"), "precious");
    mkdirSync(join(there, "folder"));
    symlinkSync(join(there, "nowhere"), join(there, "link"));
    for (const [name, what] of [
      ["file", "a file"],
      ["folder", "a folder"],
      ["link", "a symbolic link"],
    ]) {
      const error = refusal(join(there, name));
      expect(error.reason).toBe("occupied");
      expect(error.message).toContain(`there is ${what} that is no socket; move it away or choose another path`);
      expect(lstatSync(join(there, name), { throwIfNoEntry: false })).toBeDefined();
    }
  });

  it("says which folder is missing or is none", () => {
    const there = folder();
    writeFileSync(join(there, "file"), "");
    const missing = refusal(join(there, "run", "ringbridge", "s"));
    expect(missing.reason).toBe("folder");
    expect(missing.message).toContain(`mkdir -p ${join(there, "run", "ringbridge")}`);
    expect(refusal(join(there, "file", "s")).message).toContain("a part of this path is a file, not a folder");
  });

  it("refuses an impossible path before it looks", () => {
    expect(() => claimSocketPath(`/tmp/${"x".repeat(200)}`)).toThrow(/at most 107 bytes, this one has 205/);
    expect(() => claimSocketPath("")).toThrow(/EINVAL/);
    expect(() => claimSocketPath("/tmp/a\0b")).toThrow(/contains no NUL byte/);
  });

  it("says what an ordinary user may not do, and takes back a socket that cannot get its group", () => {
    const there = folder();
    chmodSync(there, 0o755);
    for (const name of ["open", "shut"]) mkdirSync(join(there, name));
    chmodSync(join(there, "open"), 0o777);
    chmodSync(join(there, "shut"), 0o000);
    own(listenUnix(join(there, "mine"), { mode: 0o000 }));
    const script = join(compileSys(there), "script.js");
    writeFileSync(
      script,
      `import { readdirSync } from "node:fs";
       import { libc } from "./sys/libc.js";
       import { listenUnix } from "./sys/socket.js";
       import { claimSocketPath } from "./sys/stale.js";
       const there = ${JSON.stringify(there)};
       libc();
       if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
       const attempt = (action) => { try { action(); } catch (error) { console.log(error.message); } };
       attempt(() => claimSocketPath(there + "/mine"));
       attempt(() => claimSocketPath(there + "/shut/s"));
       const before = readdirSync("/proc/self/fd").length;
       attempt(() => listenUnix(there + "/open/s", { group: 0, mode: 0o660 }));
       console.log(readdirSync(there + "/open"), readdirSync("/proc/self/fd").length === before);`,
    );
    const { stdout, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
    chmodSync(join(there, "shut"), 0o700);
    expect(stderr).toBe("");
    expect(stdout.trim().split("\n")).toEqual([
      `${there}/mine: there is a socket that this user may not connect to; remove it by hand or choose another path`,
      `${there}/shut/s: the folder ${there}/shut may not be entered by this user; change its permissions or the path`,
      expect.stringMatching(/^lchown .*\/open\/s: .*\(EPERM\)$/),
      "[] true",
    ]);
  });
});
