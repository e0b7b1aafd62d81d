#!/usr/bin/env bash
# Packs the package, installs the tarball in an empty folder, and runs the demo from there: no source, no compiler. Then
# once more as on a system that koffi has no build for: the lab works, and the switch says what it lacks.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
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
[ -s node_modules/ringbridge/dist/explore/index.html ] || { echo "the package lacks the explorer" >&2; exit 1; }
lab='
  const { createLab, udp, conservesFrames, assertThat } = await import("ringbridge/testing");
  const lab = await createLab();
  const [a, b] = [await lab.guest("a"), await lab.guest("b", { ring: "packed" })];
  a.send(udp({ from: a, to: b, payload: "hello" }));
  await lab.settle();
  assertThat(conservesFrames(lab));
  console.log(`ringbridge/testing: ${b.received.length} frame of ${a.sent}`);
'
node --input-type=module --eval "$lab"

mkdir ../without-koffi && cd ../without-koffi
npm init --yes >/dev/null
npm install --no-fund --no-audit --loglevel=error --omit=dev --omit=optional "../$tarball"
[ ! -e node_modules/koffi ] || { echo "koffi is there although it was to be left out" >&2; exit 1; }
node --input-type=module --eval "$lab"
if said=$(npx --no-install ringbridge run --port a=listen:a.sock 2>&1); then
  echo "ringbridge run ended well without koffi" >&2; exit 1
fi
grep -q 'without --omit=optional' <<<"$said" || { printf 'ringbridge run without koffi said: %s\n' "$said" >&2; exit 1; }
printf 'without koffi: %s\n' "$said"
