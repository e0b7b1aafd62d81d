// Every step of the chain against what the real programs made of the same input: Neutron, Nova and os-vif of Debian 12
// (cases/n*.json), libvirt 9.0 (cases/libvirt-*.json). Each file says what it was made with.

import { describe, expect, test } from "vitest";
import { bindPort } from "../../src/vif/neutron.js";
import { novaStages } from "../../src/vif/nova.js";
import { casesView, qemuArguments } from "../../src/vif/qemu.js";
import { VifRefusal } from "../../src/vif/refusal.js";
import { type Any, cases, withoutPlace } from "./cases.js";

const nova = cases("nova-vif", "nova-more");
const chain = cases("neutron-chain");

describe("Nova: port to interface XML", () => {
  test.each(nova)("$name", ({ input, output }) => {
    if (output.error !== undefined) expect(() => novaStages(input)).toThrow(VifRefusal);
    else expect(novaStages(input)).toEqual(output);
  });
});

describe("Neutron: binding, and what Nova makes of it", () => {
  test.each(chain)("$name", ({ input, output }) => {
    const binding = bindPort(input);
    const { segment_id: _, ...expected } = output.binding;
    expect(binding).toMatchObject(expected);
    if (!binding.bound) {
      expect(output.binding).toEqual({ bound: false });
      return;
    }
    expect(binding.vif_details).toEqual(expected.vif_details);
    expect(novaStages(novaInput(input, binding))).toEqual(output.nova);
  });
});

describe("Neutron: binding", () => {
  test.each(cases("neutron-more"))("$name", ({ input, output }) => {
    const binding = bindPort(input);
    expect(binding).toEqual(
      binding.bound ? output : { ...output, reason: expect.stringMatching(/^(port|agent|segment|the agent)/) },
    );
  });
});

describe("libvirt: interface XML to QEMU's arguments", () => {
  test.each(cases("libvirt-qemu"))("$name", ({ input, output }) => {
    if (output.error !== undefined) expect(() => qemuArguments(input)).toThrow(VifRefusal);
    else expect(casesView(qemuArguments(input))).toEqual({ net: output.net.map(withoutPlace), memory: output.memory });
  });

  test.each(cases("libvirt-memory"))("memory: $name", ({ input, output }) => {
    expect(qemuArguments(input).memory.map(([, value]) => value)).toEqual(output.memory);
  });

  test.each(cases("libvirt-more"))("$name", ({ input, output }) => {
    if (output.error !== undefined) expect(() => qemuArguments(input)).toThrow(VifRefusal);
    else expect(qemuArguments(input).net.map(([, value]) => value)).toEqual(output.net.map(withoutPlace));
  });

  test.each(chain.filter(({ output }) => output.qemu))("$name", ({ input, output }) => {
    const { net, memory } = output.qemu;
    const { backing } = input;
    expect(casesView(qemuArguments({ interfaces: [output.nova.xml], backing }))).toEqual({
      net: net.map(withoutPlace),
      memory,
    });
  });
});

/** What those who made the chain's cases gave to Nova besides. */
function novaInput(input: Any, { vif_type, vif_details }: Any) {
  const network = {
    id: "b111ebcd-aaad-476d-9671-3746f5436eb4",
    name: "net",
    tenant_id: "t",
    mtu: 1450,
    ...input.network,
  };
  const port = {
    mac_address: "fa:16:3e:1e:b0:20",
    network_id: network.id,
    ...input.port,
    "binding:vif_type": vif_type,
    "binding:vif_details": vif_details,
  };
  return { port, network, flavor: input.flavor, conf: input.conf, image_properties: input.image_properties };
}
