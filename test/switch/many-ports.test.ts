// As many ports as a switch can have, each with a socket of its own.

import { afterAll, beforeAll, expect, test } from "vitest";
import { PORTS_MAX } from "../../src/config/schema.js";
import { describeLinux } from "../sys/linux.js";
import { HandGuest, pass } from "./support/hand-guest.js";
import { Lab } from "./support/lab.js";

describeLinux("a switch with all its ports", () => {
  const names = Array.from({ length: PORTS_MAX }, (_, i) => `p${i}`);
  const [first, last] = [names[0]!, names.at(-1)!];
  let lab: Lab;
  beforeAll(async () => {
    lab = new Lab();
    await lab.start(names.map((name) => `${name}=listen`));
  });
  afterAll(() => lab.close());

  test("F32: each of 1024 takes a front-end in its turn; a frame from the first reaches the last", async () => {
    expect(names).toHaveLength(1024);
    const [one, other] = [new HandGuest(), new HandGuest()];
    try {
      await one.start(lab.file(first));
      await other.start(lab.file(last));
      await pass(one, other, 1);
      await pass(other, one, 2);
      one.leave();
      await lab.vacant(first);
      for (const name of names.slice(1, -1)) {
        const guest = new HandGuest();
        try {
          await guest.start(lab.file(name));
        } finally {
          guest.close();
        }
      }
      const { ports } = await lab.control.status();
      expect(ports.filter(({ connections }) => connections !== 1)).toEqual([]);
    } finally {
      one.close();
      other.close();
    }
  });
});
