// Recorded sessions of real front-ends, played to the session of today: the same replies, byte for byte, and the same
// effects. `npm run transcripts` records them anew. Where only the effects are meant to be others, vitest's -u writes
// them into the files, and the commit shows what became of them; a reply that changed is never written so.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { replay, repliesOf, requestNames } from "./replay.js";

const folder = fileURLToPath(new URL("transcripts/", import.meta.url));
const names = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
const read = (name: string) => readFileSync(folder + name, "utf8");

describe.each(names)("%s", (name) => {
  test("gets the same replies and asks for the same effects", async () => {
    const recorded = read(name);
    const replayed = replay(recorded);
    expect(repliesOf(replayed)).toEqual(repliesOf(recorded));
    await expect(replayed).toMatchFileSnapshot(folder + name);
  });

  test("is a session in which rings ran, were stopped, and nothing was refused", () => {
    const text = read(name);
    expect(requestNames(text)).toEqual(expect.arrayContaining(["SET_FEATURES", "SET_VRING_KICK"]));
    expect(text).toContain('"event":"started"');
    expect(text.match(/"event":"started"/g)!.length).toBe(text.match(/"event":"stopped"/g)!.length);
    expect(text).not.toContain('"kind":"log"');
  });
});

test.each([
  ["qemu-", "RESET_DEVICE"],
  ["qemu-", "ADD_MEM_REG"],
  ["qemu-10-source", "SET_LOG_BASE"],
  ["qemu-10-destination", "SEND_RARP"],
  ["ipxe-", "SET_STATUS"],
  ["dpdk-", "SET_MEM_TABLE"],
])("a transcript of %s* has a %s", (prefix, request) => {
  const those = names.filter((name) => name.startsWith(prefix));
  expect(those.map(read).some((text) => requestNames(text).includes(request))).toBe(true);
});

test.each(["qemu-10-packed", "dpdk-packed"])("%s has packed rings", (name) => {
  expect(read(`${name}.jsonl`)).toContain('"packed":true');
});
