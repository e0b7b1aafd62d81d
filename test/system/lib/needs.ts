// What the system tests need from the machine, and how a test says so. A missing need skips the test with a printed
// reason; where CI=true it fails instead, so that a suite which tests nothing cannot look green.
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "vitest";

const howTo = "install it with tools/system-packages.sh";
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ringbridge");
const unpackedQemu = join(cache, "qemu-10", "qemu-system-x86_64");

/** The command line program of this project, as built. */
export const cliFile = fileURLToPath(new URL("../../../dist/src/cli/main.js", import.meta.url));

/** Folder in which built guest images are kept between runs. */
export const cacheFolder = cache;

/** A guest kernel: its image and the folder of its modules. */
export interface Kernel {
  image: string;
  modules: string;
}

function programOnPath(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? "").split(":").concat("/usr/sbin", "/sbin")) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** Major version of a QEMU program, 0 when it does not say. */
function qemuMajor(file: string): number {
  return Number(/version (\d+)\./.exec(execFileSync(file, ["--version"], { encoding: "utf8" }))?.[1] ?? 0);
}

function findKernel(): Kernel | undefined {
  const versions = existsSync("/lib/modules") ? readdirSync("/lib/modules").sort() : [];
  // Debian's cloud kernel is the small one; any other with the same modules would do.
  for (const version of versions.sort((a, b) => Number(b.includes("cloud")) - Number(a.includes("cloud")))) {
    const kernel = { image: `/boot/vmlinuz-${version}`, modules: `/lib/modules/${version}` };
    if (existsSync(kernel.image) && existsSync(join(kernel.modules, "modules.dep"))) return kernel;
  }
  return undefined;
}

/** The QEMU of the release: Debian 12's 7.2, under TCG good for a vhost-user NIC without MSI-X (vectors=0). */
export const releaseQemu = programOnPath("qemu-system-x86_64");
/** A QEMU of 10 or later: the release's own, else the one unpacked beside it. */
export const modernQemu =
  releaseQemu !== undefined && qemuMajor(releaseQemu) >= 10
    ? releaseQemu
    : existsSync(unpackedQemu)
      ? unpackedQemu
      : undefined;
export const testpmdFile = programOnPath("dpdk-testpmd");
/** A statically linked busybox, which is the guests' whole user space. */
export const busyboxFile = ["/bin/busybox", "/usr/bin/busybox"].find((file) => existsSync(file));
export const kernel = findKernel();

const missing = {
  "qemu-7.2": () => (releaseQemu === undefined ? `qemu-system-x86_64 is not installed: ${howTo}` : missingGuest()),
  "qemu-10": () => (modernQemu === undefined ? missingModernQemu() : missingGuest()),
  testpmd: () => (testpmdFile === undefined ? `dpdk-testpmd is not installed: ${howTo}` : undefined),
  switch: () => (existsSync(cliFile) ? undefined : `${cliFile} is not built: run npm run build`),
} satisfies Record<string, () => string | undefined>;

/** Something a test can need. */
export type Need = keyof typeof missing;

function missingGuest(): string | undefined {
  if (kernel === undefined) return `no guest kernel in /boot with modules in /lib/modules: ${howTo}`;
  return busyboxFile === undefined ? `busybox-static is not installed: ${howTo}` : undefined;
}

function missingModernQemu(): string {
  const reason = join(cache, "qemu-10.reason");
  const why = existsSync(reason) ? readFileSync(reason, "utf8").trim() : howTo;
  return `no QEMU 10 at ${unpackedQemu}: ${why}`;
}

/** Like vitest's describe, for tests that need something from the machine; prints why when they cannot run. */
export function describeNeeding(needs: readonly Need[], title: string, body: () => void): void {
  const reasons = needs.map((need) => missing[need]()).filter((reason) => reason !== undefined);
  if (reasons.length === 0) {
    describe(title, body);
  } else if (process.env.CI === "true") {
    test(title, () => {
      throw new Error(`cannot run here: ${reasons.join("; ")}`);
    });
  } else {
    process.stderr.write(`skipped: ${title}: ${reasons.join("; ")}\n`);
    describe.skip(`${title} (${reasons.join("; ")})`, body);
  }
}
