// Which CPU a thread or process runs on, how soon, and how much CPU time it has used.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { check, errnoOf, lastErrno, libc, pinned } from "./libc.js";
import { isSystemError, SystemError } from "./system-error.js";

const CPU_SET_BYTES = 128; // sizeof(cpu_set_t): CPUs 0 to 1023
const CLOCK_PROCESS_CPUTIME_ID = 2;
const CLOCK_THREAD_CPUTIME_ID = 3;
const TIMESPEC_BYTES = 16;

/**
 * Let the calling thread run on these CPUs only.
 * @throws RangeError for an empty list or a number that is no CPU number; SystemError EINVAL when none of them is one
 *   this process may use
 */
export function pinThread(cpus: readonly number[]): void {
  setAffinity(0, cpus);
}

/**
 * Let all threads of a process run on these CPUs only; threads that it starts later inherit it from those.
 * @throws as `pinThread`; SystemError ESRCH when there is no such process, EPERM when it is somebody else's
 */
export function pinProcess(pid: number, cpus: readonly number[]): void {
  setAffinity(pid, cpus);
  forEachThread(pid, (tid) => setAffinity(tid, cpus));
}

/**
 * Set the nice value of all threads of a process, from -20 (first) to 19. Threads that it starts later inherit it.
 * @throws an Error EACCES when it may not be lowered (CAP_SYS_NICE), ESRCH when there is no such process
 */
export function setProcessPriority(pid: number, nice: number): void {
  setPriority(pid, nice);
  forEachThread(pid, (tid) => setPriority(tid, nice));
}

/** Set the nice value of the calling thread alone. @throws as `setProcessPriority` */
export function setThreadPriority(nice: number): void {
  setPriority(0, nice);
}

/**
 * Set the nice value of the session that a process belongs to, beside other sessions: where the kernel groups tasks by
 * session (CONFIG_SCHED_AUTOGROUP), a thread's own value counts only within it.
 * @returns the value before; undefined, and nothing was done, where there is no such thing or it may not be set
 */
export function setSessionPriority(pid: number, nice: number): number | undefined {
  const path = `/proc/${pid}/autogroup`;
  try {
    const before = / nice (-?\d+)/.exec(readFileSync(path, "utf8"))?.[1];
    if (before === undefined) return undefined;
    writeFileSync(path, String(nice));
    return Number(before);
  } catch {
    return undefined;
  }
}

/** A thread that has ended since the folder was read is passed over. */
function forEachThread(pid: number, action: (tid: number) => void): void {
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      action(Number(task));
    } catch (error) {
      const code = isSystemError(error) ? error.code : (error as { info?: { code?: string } }).info?.code;
      if (code !== "ESRCH") throw error;
    }
  }
}

/** `tid` 0 is the calling thread. */
function setAffinity(tid: number, cpus: readonly number[]): void {
  const mask = new Uint8Array(CPU_SET_BYTES);
  for (const cpu of cpus) {
    if (!Number.isInteger(cpu) || cpu < 0 || cpu >= CPU_SET_BYTES * 8) {
      throw new RangeError(`${cpu} is no CPU number (0 to ${CPU_SET_BYTES * 8 - 1})`);
    }
    mask[cpu >> 3] |= 1 << (cpu & 7);
  }
  if (cpus.length === 0) throw new RangeError("a thread needs at least one CPU to run on");
  if (libc().sched_setaffinity(tid, mask.length, mask) < 0) {
    const errno = lastErrno();
    const detail =
      errno === errnoOf("EINVAL")
        ? `CPU ${cpus.join(", ")} is not among those this process may use: ${allowedCpus().join(", ")}`
        : undefined;
    throw new SystemError("sched_setaffinity", errno, undefined, detail);
  }
}

/** The CPUs the calling thread may run on, ascending. */
export function allowedCpus(): number[] {
  const mask = new Uint8Array(CPU_SET_BYTES);
  check(libc().sched_getaffinity(0, mask.length, mask), "sched_getaffinity");
  const cpus: number[] = [];
  for (let cpu = 0; cpu < CPU_SET_BYTES * 8; cpu++) {
    if ((mask[cpu >> 3] & (1 << (cpu & 7))) !== 0) cpus.push(cpu);
  }
  return cpus;
}

/** The CPU the calling thread runs on at this moment. */
export function currentCpu(): number {
  return check(libc().sched_getcpu(), "sched_getcpu");
}

/** CPU time the calling thread has used since it started, in milliseconds with fractions. */
export function threadCpuMs(): number {
  return clockMs(CLOCK_THREAD_CPUTIME_ID);
}

/** CPU time all threads of this process have used together, in milliseconds with fractions. */
export function processCpuMs(): number {
  return clockMs(CLOCK_PROCESS_CPUTIME_ID);
}

function clockMs(clock: number): number {
  const time = pinned(TIMESPEC_BYTES);
  check(libc().clock_gettime(clock, time.address), "clock_gettime");
  return Number(time.view.getBigInt64(0, true)) * 1e3 + Number(time.view.getBigInt64(8, true)) / 1e6;
}
