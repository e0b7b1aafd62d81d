// `ringbridge run --fd=N`: a switch whose socket was made by whoever started it (QEMU's back-end program conventions).

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { builtFile } from "../../src/guest/children.js";
import { closeFd } from "../../src/sys/memfd.js";
import { connectUnix, listenUnix, receive, send, socketPair } from "../../src/sys/socket.js";
import { encodeMessage, MESSAGES } from "../../src/vhost-user/message.js";
import { until } from "./support/lab.js";

let folder: string;
let child: ChildProcess | undefined;
let output = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-fd-"));
  output = "";
});

afterEach(async () => {
  if (child?.exitCode === null) {
    child.kill();
    await once(child, "exit");
  }
  child = undefined;
  rmSync(folder, { recursive: true });
});

/** Starts a switch with `fd` as its descriptor 3. */
function start(fd: number | "ignore"): ChildProcess {
  const program = builtFile("src/cli/main.js");
  const words = [program, "run", "--fd=3", "--control", join(folder, "control")];
  child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "pipe", fd] });
  for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (data) => (output += String(data)));
  return child;
}

/** What comes back for GET_FEATURES: the request number and the size of the reply's payload. */
async function askFeatures(fd: number): Promise<[number, number]> {
  send(fd, encodeMessage(MESSAGES.GET_FEATURES.number, 0, { kind: "none" }));
  const reply = new Uint8Array(64);
  const bytes = await until("a reply", () => {
    const received = receive(fd, reply);
    return received === "again" ? undefined : received.bytes;
  });
  return [new DataView(reply.buffer).getUint32(0, true), bytes - 12];
}

describe("--fd", () => {
  test("a connected socket is served", async () => {
    const [ours, theirs] = socketPair();
    start(theirs);
    closeFd(theirs);
    expect(await askFeatures(ours)).toEqual([MESSAGES.GET_FEATURES.number, 8]);
    closeFd(ours);
    await until("the end of the port", () => (output.includes("it will serve nobody else") ? true : undefined));
  });

  test("a listening socket serves one front-end after the other, and its file stays its maker's", async () => {
    const path = join(folder, "listening");
    const listening = listenUnix(path);
    start(listening);
    for (let i = 0; i < 2; i++) {
      const fd = connectUnix(path);
      expect(await askFeatures(fd)).toEqual([MESSAGES.GET_FEATURES.number, 8]);
      closeFd(fd);
    }
    child!.kill();
    await once(child!, "exit");
    closeFd(connectUnix(path));
    closeFd(listening);
  });

  test("what is no socket is an error in one line", async () => {
    const [code] = await once(start("ignore"), "exit");
    expect(code).not.toBe(0);
    await until("the reason", () => (/descriptor 3 is no open socket/.test(output) ? true : undefined));
  });
});
