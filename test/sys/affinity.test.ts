// CPU affinity and CPU time.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { expect, it, onTestFinished } from "vitest";
import {
  allowedCpus,
  currentCpu,
  pinProcess,
  pinThread,
  processCpuMs,
  setProcessPriority,
  setSessionPriority,
  threadCpuMs,
} from "../../src/sys/affinity.js";
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

  it("pins another process with all its threads, and says how soon it runs", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000); console.log(1)"]);
    const ended = once(child, "exit");
    onTestFinished(async () => {
      child.kill();
      await ended;
    });
    await once(child.stdout, "data");
    const [cpu] = allowedCpus();
    const pid = child.pid!;
    pinProcess(pid, [cpu!]);
    setProcessPriority(pid, 5);
    const threads = readdirSync(`/proc/${pid}/task`);
    expect(threads.length).toBeGreaterThan(1);
    for (const thread of threads) {
      expect(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8")).toMatch(
        new RegExp(`^Cpus_allowed_list:\\s${cpu}$`, "m"),
      );
      // proc(5): the 19th field; the name, the second one, may have spaces.
      const fields = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8").split(") ")[1]!.split(" ");
      expect(fields[16]).toBe("5");
    }
    expect(() => pinProcess(pid, [1023])).toThrow("CPU 1023 is not among");
  });

  it("refuses processes that are not there", () => {
    // Above the highest number that Linux gives (PID_MAX_LIMIT).
    const pid = 2 ** 22 + 1;
    expect(() => pinProcess(pid, allowedCpus())).toThrow("ESRCH");
    expect(() => setProcessPriority(pid, 5)).toThrow("ESRCH");
    expect(setSessionPriority(pid, 5)).toBeUndefined();
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
