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

/** The command line program under test: this checkout's build, or another one named by RINGBRIDGE_CLI. */
export const cliFile =
  process.env.RINGBRIDGE_CLI ?? fileURLToPath(new URL("../../../dist/src/cli/main.js", import.meta.url));

/** Folder in which built guest images are kept between runs. */
export const cacheFolder = cache;

/** A guest kernel: its image and the folder of its modules. */
export interface Kernel {
  image: string;
  modules: string;
}

/** Where a program is: on the PATH or among the administrator's. */
export function programOnPath(name: string): string | undefined {
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

/** The QEMUs of these tests: Debian 12's own (or near it), and 10 or later. */
export type QemuKind = "7.2" | "10";

const installedQemu = programOnPath("qemu-system-x86_64");
const installedKind = installedQemu === undefined ? undefined : qemuMajor(installedQemu) >= 10 ? "10" : "7.2";

/** The program of each kind that is there. 10 is the release's own if that is new enough, else the one beside it. */
export const qemuFiles: Record<QemuKind, string | undefined> = {
  "7.2": installedKind === "7.2" ? installedQemu : undefined,
  "10": installedKind === "10" ? installedQemu : existsSync(unpackedQemu) ? unpackedQemu : undefined,
};
/** The QEMU for a test to which any will do: the one with MSI-X where there is one. */
export const anyQemu: QemuKind = qemuFiles["10"] === undefined ? "7.2" : "10";
export const testpmdFile = programOnPath("dpdk-testpmd");
/** A statically linked busybox, which is the guests' whole user space. */
export const busyboxFile = ["/bin/busybox", "/usr/bin/busybox"].find((file) => existsSync(file));
export const kernel = findKernel();
export const libvirtdFile = programOnPath("libvirtd");
export const virshFile = programOnPath("virsh");
/** What unshare gives libvirt.ts's daemon. Any user but root will do, but libvirt wants one that has a name. */
export const namespaces = ["--user", "--map-user=nobody", "--map-group=nogroup", "--pid", "--mount-proc", "--fork"];

const missing = {
  "qemu-7.2": () => (qemuFiles["7.2"] === undefined ? missingOldQemu() : missingGuest()),
  "qemu-10": () => (qemuFiles["10"] === undefined ? missingModernQemu() : missingGuest()),
  qemu: () => (qemuFiles[anyQemu] === undefined ? missingOldQemu() : missingGuest()),
  testpmd: () => (testpmdFile === undefined ? `dpdk-testpmd is not installed: ${howTo}` : undefined),
  libvirt: missingLibvirt,
  // What the guests measure with, and who judges what they captured.
  "guest-tools": () => missingPrograms(["ethtool", "tcpdump", "iperf3"]),
  root: () => (process.getuid?.() === 0 ? undefined : "only root can start processes as other users"),
  tshark: () => missingPrograms(["tshark"]),
  chromium: () => missingPrograms(["chromium"]),
  switch: () => (existsSync(cliFile) ? undefined : `${cliFile} is not built: run npm run build`),
} satisfies Record<string, () => string | undefined>;

/** Something a test can need. */
export type Need = keyof typeof missing;

function missingGuest(): string | undefined {
  if (kernel === undefined) return `no guest kernel in /boot with modules in /lib/modules: ${howTo}`;
  return busyboxFile === undefined ? `busybox-static is not installed: ${howTo}` : undefined;
}

function missingPrograms(names: readonly string[]): string | undefined {
  const gone = names.filter((name) => programOnPath(name) === undefined);
  return gone.length === 0 ? undefined : `${gone.join(", ")} not installed: ${howTo}`;
}

function missingOldQemu(): string {
  if (installedKind === "10") return "this machine's own QEMU is 10 or later, which the other tests use";
  return `qemu-system-x86_64 is not installed: ${howTo}`;
}

function missingModernQemu(): string {
  const reason = join(cache, "qemu-10.reason");
  const why = existsSync(reason) ? readFileSync(reason, "utf8").trim() : howTo;
  return `no QEMU 10 at ${unpackedQemu}: ${why}`;
}

function missingLibvirt(): string | undefined {
  if (libvirtdFile === undefined || virshFile === undefined) return `libvirtd or virsh is not installed: ${howTo}`;
  try {
    // Some machines keep namespaces from their users.
    execFileSync("unshare", [...namespaces, "true"], { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
    return undefined;
  } catch (error) {
    return `no user namespace for libvirtd: ${(error as Error).message.trim()}`;
  }
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
