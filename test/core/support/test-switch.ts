// The lab's switch (src/testing/core-switch.ts) over the builds that share memory, as the tests of the core use it.

import { bits } from "../../../src/core/feature-bits.js";
import { createMemory } from "../../../src/core/module.js";
import { loadModule } from "../../../src/core/wasm-files.js";
import { VIRTIO_F_RING_PACKED } from "../../../assembly/spec/virtio.js";
import { CoreSwitch, type CoreSwitchOptions } from "../../../src/testing/core-switch.js";
import { builds } from "../../sample.js";

export type Target = "release" | "checked";
export const TARGETS = builds<Target>(["release", "checked"]);

/** Every build of the core with either form of ring; `ring` is the feature bit that asks for it. */
export const VARIANTS = TARGETS.flatMap((target) => [
  { target, form: "split", ring: 0n },
  { target, form: "packed", ring: bits(VIRTIO_F_RING_PACKED) },
]);

/** The memory of a test switch: 32 MiB. Tests that make many switches, one after the other, share one. */
export function testMemory(): WebAssembly.Memory {
  return createMemory(32 * 16);
}

export interface SwitchOptions extends Omit<CoreSwitchOptions, "module" | "memory"> {
  target?: Target;
  /** One that no living switch uses; default a new one. */
  memory?: WebAssembly.Memory;
}

export class TestSwitch extends CoreSwitch {
  constructor({ target = "release", memory = testMemory(), ...options }: SwitchOptions = {}) {
    super({ ...options, memory, module: loadModule("core", target).module });
  }

  /** `takeCalls` as "port/index". */
  calls(worker = 0): string[] {
    return this.takeCalls(worker).map(({ port, index }) => `${port}/${index}`);
  }
}
