// CPU affinity and CPU time.

import { expect, it, onTestFinished } from "vitest";
import { allowedCpus, currentCpu, pinThread, processCpuMs, threadCpuMs } from "../../src/sys/affinity.js";
import { countMappings, countOpenFds } from "../../src/sys/open-fds.js";
import { createMemfd, closeFd } from "../../src/sys/memfd.js";
import { describeLinux } from "./linux.js";

describeLinux("threads and CPUs", () => {
  it("pins the calling thread", () => {
    const before = allowedCpus();
    onTestFinished(() => pinThread(before));
    for (const cpu of before) {
      pinThread([cpu]);
      expect(currentCpu()).toBe(cpu);
      expect(allowedCpus()).toEqual([cpu]);
    }
  });

  it("refuses CPUs that are none", () => {
    const before = allowedCpus();
    for (const cpus of [[], [-1], [1.5], [1024]]) expect(() => pinThread(cpus)).toThrow(RangeError);
    expect(() => pinThread([1023])).toThrow(/CPU 1023 is not among those this process may use: \d/);
    expect(allowedCpus()).toEqual(before);
  });

  it("measures CPU time of the thread and of the process", () => {
    const thread = threadCpuMs();
    const whole = processCpuMs();
    let sum = 0;
    for (let i = 0; i < 1e6; i++) sum += i;
    expect(sum).toBe(499999500000);
    expect(threadCpuMs()).toBeGreaterThan(thread);
    expect(processCpuMs()).toBeGreaterThan(whole);
    expect(processCpuMs()).toBeGreaterThanOrEqual(threadCpuMs());
  });

  it("counts open descriptors and mappings", () => {
    const before = countOpenFds();
    const fd = createMemfd("counted", 4096);
    expect(countOpenFds()).toBe(before + 1);
    closeFd(fd);
    expect(countOpenFds()).toBe(before);
    expect(countMappings()).toBeGreaterThan(10);
    expect(countMappings({ from: 0n, to: 4096n })).toBe(0);
  });
});
