// Scenarios that need no test runner: each is a function that throws when it finds something wrong. They run in Node, Bun,
// Deno and in a browser; run.js and index.html call them.

import {
  assertThat,
  conservesFrames,
  constantRate,
  createLab,
  latencyAtMost,
  receivedExactly,
  udp,
} from "ringbridge/testing";

export const scenarios = {
  async "two guests talk"() {
    const lab = await createLab();
    const [a, b] = [await lab.guest("a"), await lab.guest("b", { ring: "packed" })];
    const hello = udp({ from: a, to: b, payload: "hello" });
    a.send(hello);
    await lab.settle();
    assertThat(receivedExactly(b, [hello]));
  },

  async "a connection that breaks loses nothing uncounted"() {
    const lab = await createLab({ seed: 5 });
    const [a, b] = [await lab.guest("a"), await lab.guest("b", { mergeable: true })];
    lab.inject({ kind: "disconnect", guest: "b", at: 5, for: 3 });
    const flow = lab.traffic(a, constantRate({ to: b, perSecond: 10_000, count: 100 }));
    await lab.run(20);
    assertThat(conservesFrames(lab));
    assertThat(latencyAtMost(flow, 0.99, 0.01));
  },
};
