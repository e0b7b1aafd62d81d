// What we write against libvirt's own schema (virt-xml-validate, of libvirt-clients with libxml2-utils), and what our copy of
// it lets through against the same.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { novaStages } from "../../src/vif/nova.js";
import { checkSchema } from "../../src/vif/libvirt-schema.js";
import { readXml } from "../../src/vif/xml.js";
import { cases } from "./cases.js";

const folder = mkdtempSync(join(tmpdir(), "ringbridge-schema-"));
afterAll(() => rmSync(folder, { recursive: true }));

function domainOf(xml: string): string {
  return `<domain type="kvm"><name>vm</name><memory>1</memory><os><type>hvm</type></os><devices>${xml}</devices></domain>`;
}

/** Why a domain with this interface does not fit, or undefined. */
function whyInvalid(xml: string): string | undefined {
  const file = join(folder, "domain.xml");
  writeFileSync(file, domainOf(xml));
  const { status, stdout, stderr, error } = spawnSync("virt-xml-validate", [file, "domain"], { encoding: "utf8" });
  if (error) throw error;
  return status === 0 ? undefined : stdout + stderr;
}

const missing =
  spawnSync("virt-xml-validate", ["--version"]).error !== undefined ||
  spawnSync("xmllint", ["--version"]).error !== undefined;
if (missing)
  console.log("skipped: libvirt's schema: virt-xml-validate or xmllint is not installed (tools/system-packages.sh)");

describe.skipIf(missing)(`libvirt's schema${missing ? " (virt-xml-validate or xmllint is not installed)" : ""}`, () => {
  const written = cases("nova-vif", "nova-more").filter(({ output }) => output.error === undefined);

  test("has room for every interface that we write, whatever was asked", () => {
    const relative = (xml: string) => /path="[^/]/.test(xml);
    const xmls = [...new Set(written.map(({ input }) => novaStages(input).xml))];
    expect(whyInvalid(xmls.filter((xml) => !relative(xml)).join(""))).toBeUndefined();
    // Nova writes a relative path as it is told one, and libvirt refuses it.
    for (const xml of xmls.filter(relative)) expect(whyInvalid(xml)).toMatch(/fails to validate|Error|invalid/i);
  });

  test("is what our copy of it says of interfaces good and bad", () => {
    const interfaces = cases("libvirt-more", "libvirt-qemu").flatMap(({ input }) => input.interfaces as string[]);
    const copy = (xml: string) => {
      try {
        checkSchema(readXml(xml, "it"), "it");
        return true;
      } catch {
        return false;
      }
    };
    const good = interfaces.filter(copy).filter((xml) => xml.includes("vhostuser"));
    expect(whyInvalid(good.join(""))).toBeUndefined();
    const bad = interfaces.filter((xml) => !copy(xml) && /^<interface type='vhostuser'/.test(xml));
    expect(bad.length).toBeGreaterThan(5);
    // One run for all: reading the schema takes longest.
    const files = bad.map((xml, i) => {
      const file = join(folder, `bad-${i}.xml`);
      writeFileSync(file, domainOf(xml));
      return file;
    });
    const schema = "/usr/share/libvirt/schemas/domain.rng";
    const { stderr } = spawnSync("xmllint", ["--noout", "--relaxng", schema, ...files], { encoding: "utf8" });
    const verdicts = files.map((file) => new RegExp(`^${file} (validates|fails to validate)$`, "m").exec(stderr)?.[1]);
    expect(bad.filter((_, i) => verdicts[i] !== "fails to validate")).toEqual([]);
  });
});
