// `ringbridge vif bind | xml | qemu` through the command line, on what the real programs were given.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { main } from "../../src/cli/program.js";
import { type Any, type Case, cases, withoutPlace } from "../vif/cases.js";
import { FakeIo } from "./fake-io.js";

const folder = mkdtempSync(join(tmpdir(), "ringbridge-vif-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ran {
  code: number;
  out: string;
  err: string;
}

async function run(args: string[], input: unknown): Promise<Ran> {
  const io = new FakeIo();
  io.input = typeof input === "string" ? input : JSON.stringify(input);
  const code = await main(["vif", ...args], io);
  return { code, out: io.out, err: io.err };
}

/** A refusal: one line on standard error, nothing on standard output. */
function expectRefused({ code, out, err }: Ran, reason = /./): void {
  expect([code, out]).toEqual([2, ""]);
  expect(err).toMatch(/^ringbridge: [^\n]{10,}\n$/);
  expect(err).toMatch(reason);
}

const nova = cases("nova-vif", "nova-more");
const chain = cases("neutron-chain");
const binds = [
  ...chain.map(({ name, input, output }) => ({ name, input, output: output.binding })),
  ...cases("neutron-more"),
];
const libvirt = cases("libvirt-qemu");

describe("vif bind", () => {
  test.each(binds)("$name", async ({ input, output }) => {
    const { code, out, err } = await run(["bind", "-"], input);
    const { segment_id: _, ...binding } = output;
    expect([code, JSON.parse(out)]).toEqual([0, binding]);
    if (binding.bound) expect(err).toBe("");
    else expect(err).toMatch(/^ringbridge: not bound: [^\n]+\n$/);
  });
});

describe("vif xml", () => {
  test.each(nova)("$name", async ({ input, output }) => {
    const [plain, stages] = [await run(["xml"], input), await run(["xml", "--json", "-"], input)];
    if (output.error !== undefined) {
      for (const ran of [plain, stages]) expectRefused(ran);
      return;
    }
    expect(plain).toEqual({ code: 0, out: output.xml, err: "" });
    expect(JSON.parse(stages.out)).toEqual(output);
  });
});

describe("vif qemu", () => {
  test.each(libvirt)("$name", async ({ input, output }) => {
    const ran = await run(["qemu"], input);
    if (output.error !== undefined) return expectRefused(ran);
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.out)).toEqual({ net: output.net.map(withoutPlace), memory: output.memory });
  });

  test("--args prints what QEMU can be started with", async () => {
    const { input } = libvirt[0]!;
    const { out } = await run(["qemu", "--args"], input);
    const words = out.trimEnd().split("\n");
    expect(words.filter((word) => word.startsWith("-"))).toEqual(
      "-m -object -machine -chardev -netdev -device".split(" "),
    );
    expect(words).toContain("socket,id=charnet0,path=/run/vswitch/vhua75e5c46-1d,server=on");
  });

  test("--args has the socket of a card with a name of the user's", async () => {
    const { input } = libvirt.find(({ name }) => name.startsWith("teaming"))!;
    const { out } = await run(["qemu", "--args"], input);
    expect(out).toContain("-chardev\nsocket,id=charua-net0,path=/run/vswitch/vhua75e5c46-1d,server=on\n");
  });

  test("what will not do what it says goes to standard error", async () => {
    const { input } = libvirt.find(({ name }) => name.startsWith("bandwidth"))!;
    expect((await run(["qemu"], input)).err).toMatch(/^ringbridge: interfaces\.0: libvirt does not apply <bandwidth>/);
  });
});

describe("a list, from a file", () => {
  const both = (list: readonly Case[], value: (output: Any) => unknown) =>
    list.map(({ output }) => (output.error === undefined ? value(output) : { error: expect.stringMatching(/.{10,}/) }));

  test.each<[string[], readonly Case[], (output: Any) => unknown]>([
    [["bind"], cases("neutron-more"), (output) => output],
    [["xml"], nova, (output) => output.xml],
    [["xml", "--json"], nova, (output) => output],
    [["qemu"], libvirt, ({ net, memory }) => ({ net: net.map(withoutPlace), memory })],
  ])("vif %s", async (args, list, value) => {
    const file = join(folder, "list.json");
    writeFileSync(file, JSON.stringify(list.map(({ input }) => input)));
    const { code, out } = await run([...args, file], "");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(both(list, value));
  });
});

describe("input that is none", () => {
  test.each<[string, string, RegExp]>([
    ["nothing", "", /standard input is empty/],
    ["half a document", '{"port": {', /standard input is no JSON/],
    ["a number", "7", /must be a map, not 7/],
    ["null", "null", /must be a map, not nothing/],
    ["a very long one", `["${"x".repeat(16 << 20)}"]`, /longer than 16 MiB/],
  ])("%s", async (_, input, reason) => {
    for (const command of ["bind", "xml", "qemu"]) expectRefused(await run([command], input), reason);
  });

  test("a file that is not there", async () => {
    expectRefused(await run(["xml", join(folder, "none.json")], ""), /none\.json cannot be read/);
  });

  test("no list is of one's own making", async () => {
    expect(JSON.parse((await run(["qemu"], "[]")).out)).toEqual([]);
    expect(JSON.parse((await run(["qemu"], "[null, 3]")).out)).toEqual([
      { error: expect.stringMatching(/must be a map/) },
      { error: expect.stringMatching(/must be a map/) },
    ]);
  });
});
