// The guests' root file system: a gzipped cpio of busybox, the kernel's virtio modules and an init that offers a
// command channel on a virtio-serial port (guest.ts speaks the other end). Built once per content, kept in the cache.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { cacheFolder, type Kernel, programOnPath } from "./needs.js";

/** Loaded in this order, each after what it depends on; a module that is built into the kernel is left out. */
const moduleNames = ["virtio_pci", "virtio_console", "virtio_net"];

// Protocol of the channel, one line each way around the output:
//   host: "<id> <seconds> <command line>"    guest: output, then "\n@@end <id> <exit status>"
// and once after boot "@@ready <boot id>", by which the host tells a rebooted guest from the old one.
// An emulated UART is no good for this: now and then 16 bytes of input are lost. The channel's shell reads byte by byte (ash's read), so nothing of the next line is lost to a command.
const init = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
# The archive holds no /dev/console, so init has no output before this.
exec >/dev/ttyS0 2>&1
for module in $(cat /modules/order); do insmod /modules/$module || echo "insmod $module failed"; done
for word in $(cat /proc/cmdline); do
  case $word in rb.address=*) address=\${word#rb.address=} ;; esac
done
ip link set lo up
if [ -n "$address" ]; then
  i=0
  while [ ! -e /sys/class/net/eth0 ] && [ $i -lt 100 ]; do usleep 50000; i=$((i + 1)); done
  ip address add $address dev eth0
  ip link set eth0 up
fi
exec 3<>/dev/vport0p1
echo "@@ready $(cat /proc/sys/kernel/random/boot_id)" >&3
while read -r id seconds command <&3; do
  timeout -s KILL "$seconds" sh -c "$command" </dev/null >/tmp/channel 2>&1 3>&-
  status=$?
  cat /tmp/channel >&3
  printf '\\n@@end %s %s\\n' "$id" "$status" >&3
done
`;

/** One entry of the archive. */
interface Entry {
  path: string;
  mode: number;
  data: Buffer;
}

/** The cpio "newc" format, see the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. */
function cpio(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  const pad = (length: number) => Buffer.alloc((4 - (length % 4)) % 4);
  for (const [index, { path, mode, data }] of [
    ...entries,
    { path: "TRAILER!!!", mode: 0, data: Buffer.of() },
  ].entries()) {
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    const fields = [index + 1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, path.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${path}\0`;
    parts.push(Buffer.from(header, "latin1"), pad(header.length), data, pad(data.length));
  }
  return Buffer.concat(parts);
}

/** Files of the modules and all they depend on, in the order of insmod, from the kernel's own modules.dep. */
function moduleFiles(kernel: Kernel): string[] {
  const dependencies = new Map<string, string[]>();
  const fileOf = new Map<string, string>();
  for (const line of readFileSync(join(kernel.modules, "modules.dep"), "utf8").trim().split("\n")) {
    const [file, needed] = line.split(":") as [string, string];
    dependencies.set(file, needed.split(" ").filter(Boolean));
    fileOf.set(
      basename(file)
        .replace(/\.ko.*/, "")
        .replaceAll("-", "_"),
      file,
    );
  }
  const builtin = readFileSync(join(kernel.modules, "modules.builtin"), "utf8");
  const order = new Set<string>();
  for (const name of moduleNames) {
    const file = fileOf.get(name);
    if (file === undefined) {
      if (builtin.includes(`/${name}.ko`)) continue;
      throw new Error(`${kernel.modules} has no module ${name}: install linux-image-cloud-amd64`);
    }
    // modules.dep lists the nearest dependency first, so the reverse is an order in which each can be inserted.
    for (const needed of [file, ...(dependencies.get(file) ?? [])].reverse()) order.add(needed);
  }
  return [...order].map((file) => join(kernel.modules, file));
}

/** The bytes of a module, decompressed by the tool its name calls for (busybox's insmod knows no zstd). */
function moduleBytes(file: string): Buffer {
  const tool = file.endsWith(".xz") ? "xz" : file.endsWith(".zst") ? "zstd" : file.endsWith(".gz") ? "gzip" : undefined;
  return tool === undefined ? readFileSync(file) : execFileSync(tool, ["-dc", file], { maxBuffer: 1 << 26 });
}

/** The folders that lead to a file, outermost first, as an archive names them. */
function foldersOf(path: string): string[] {
  const parts = path.split("/").slice(1, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** A program of this machine and the libraries it is linked to, as the dynamic linker names them. */
function programFiles(name: string): string[] {
  const file = programOnPath(name);
  if (file === undefined) throw new Error(`${name} is not installed: install it with tools/system-packages.sh`);
  const linked = execFileSync("ldd", [file], { encoding: "utf8" });
  return [file, ...[...linked.matchAll(/(\/\S+) \(0x/g)].map(([, library]) => library!)];
}

/**
 * Path of the image for this kernel with these `programs` of the machine and `files` (place in the guest: place here),
 * built when it is not in the cache yet.
 */
export function initramfs(
  kernel: Kernel,
  busybox: string,
  programs: readonly string[] = [],
  files: Readonly<Record<string, string>> = {},
): string {
  const fromMachine = new Map(programs.flatMap(programFiles).map((path) => [path, path]));
  const extra = [...fromMachine, ...Object.entries(files)].sort();
  const extraFolders = new Set(extra.flatMap(([path]) => foldersOf(path)));
  const modules = moduleFiles(kernel);
  const folder = (path: string): Entry => ({ path, mode: 0o040755, data: Buffer.of() });
  const file = (path: string, mode: number, data: Buffer): Entry => ({ path, mode: 0o100000 | mode, data });
  const name = (path: string) => basename(path).replace(/\.ko.*/, ".ko");
  const archive = cpio([
    ...[...new Set(["bin", "dev", "etc", "modules", ...extraFolders])].map(folder),
    file("init", 0o755, Buffer.from(init)),
    // tcpdump looks its user up.
    file("etc/passwd", 0o644, Buffer.from("root:x:0:0::/:/bin/sh\n")),
    file("bin/busybox", 0o755, readFileSync(busybox)),
    file("modules/order", 0o644, Buffer.from(modules.map(name).join("\n"))),
    ...extra.map(([path, source]) => file(path.slice(1), 0o755, readFileSync(source))),
    ...modules.map((path) => file(`modules/${name(path)}`, 0o644, moduleBytes(path))),
  ]);
  const hash = createHash("sha256").update(archive).digest("hex").slice(0, 16);
  const path = join(cacheFolder, `guest-${hash}.cpio.gz`);
  if (!existsSync(path)) {
    mkdirSync(cacheFolder, { recursive: true });
    // Written aside and renamed, so that a run beside this one never sees half of it.
    const part = `${path}.${process.pid}`;
    writeFileSync(part, gzipSync(archive, { level: 6 }));
    renameSync(part, path);
  }
  return path;
}
