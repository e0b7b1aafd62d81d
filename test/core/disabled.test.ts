// A transmitq that is disabled: one that was running is drained at once, one that was never enabled since it started
// keeps its frames for a moment, for some front-ends start a ring first and enable it then.

import { describe, expect, test } from "vitest";
import { VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { HOLD_SECONDS } from "../../src/core/layout.js";
import { frame, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";

const V1 = bits(VIRTIO_F_VERSION_1);

describe.each(VARIANTS)("a transmitq, $target build, $form ring", ({ target, ring }) => {
  /** Two guests; `b`'s transmitq has been stopped and holds two frames. */
  async function stopped() {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { features: V1 | ring });
    const b = await TestGuest.create(sw, { features: V1 | ring });
    const base = await sw.bridge.stopQueue(b.port, 1);
    b.send(frame(1, 2, 60));
    b.send(frame(1, 2, 61));
    return { sw, a, b, base };
  }

  test("started before it is enabled keeps what waits in it", async () => {
    const { sw, a, b, base } = await stopped();
    await b.startQueue(1, base, 1, false);
    for (let i = 0; i < HOLD_SECONDS; i++, sw.now++) sw.settle();
    expect([b.reclaim(), b.drops(1)]).toEqual([0, {}]);
    await sw.bridge.setEnabled(b.port, 1, true);
    sw.settle();
    expect(a.receive().map(({ length }) => length)).toEqual([60, 61]);
    expect([b.reclaim(), b.drops(1)]).toEqual([2, {}]);
  });

  test("that nobody enables is drained then, as the specification has it, and what comes later at once", async () => {
    const { sw, a, b, base } = await stopped();
    await b.startQueue(1, base, 1, false);
    sw.settle();
    sw.now += HOLD_SECONDS;
    sw.settle();
    expect([b.reclaim(), b.drops(1)]).toEqual([2, { DROP_DISABLED: 2 }]);
    b.send(frame(1, 2, 62));
    sw.settle();
    expect([b.reclaim(), b.drops(1)]).toEqual([1, { DROP_DISABLED: 3 }]);
    expect(a.receive()).toEqual([]);
  });

  test("enabled and disabled again is drained at once, though it was just started", async () => {
    const { sw, a, b, base } = await stopped();
    await b.startQueue(1, base, 1, false);
    sw.settle();
    await sw.bridge.setEnabled(b.port, 1, true);
    await sw.bridge.setEnabled(b.port, 1, false);
    sw.settle();
    expect([b.reclaim(), b.drops(1)]).toEqual([2, { DROP_DISABLED: 2 }]);
    expect(a.receive()).toEqual([]);
  });

  test("stopped before it was enabled tells where it stood, and its frames go when it runs again", async () => {
    const { sw, a, b, base } = await stopped();
    await b.startQueue(1, base, 1, false);
    sw.settle();
    expect(await sw.bridge.stopQueue(b.port, 1)).toBe(base);
    await b.startQueue(1, base);
    sw.settle();
    expect(a.receive()).toHaveLength(2);
  });
});
