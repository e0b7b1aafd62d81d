#!/usr/bin/env bash
# Packs the package, installs the tarball in an empty folder, and runs the demo from there: no source, no compiler.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tarball=$(cd "$root" && npm pack --silent --pack-destination "$folder" | tail -n 1)
printf 'packed %s (%s bytes)\n' "$tarball" "$(stat -c %s "$folder/$tarball")"
cd "$folder"
mkdir installed && cd installed
npm init --yes >/dev/null
npm install --no-fund --no-audit --loglevel=error --omit=dev "../$tarball"
[ ! -e node_modules/assemblyscript ] || { echo "the package brings a compiler along" >&2; exit 1; }
npx --no-install ringbridge --version
npx --no-install ringbridge demo --seconds 3
node --input-type=module --eval '
  const { createLab, udp, conservesFrames, assertThat } = await import("ringbridge/testing");
  const lab = await createLab();
  const [a, b] = [await lab.guest("a"), await lab.guest("b", { ring: "packed" })];
  a.send(udp({ from: a, to: b, payload: "hello" }));
  await lab.settle();
  assertThat(conservesFrames(lab));
  console.log(`ringbridge/testing: ${b.received.length} frame of ${a.sent}`);
'
