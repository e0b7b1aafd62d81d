#!/bin/sh
# What `npm run bench:peers` needs from Debian, put there once:
#
#   tools/bench-packages.sh            install what is missing
#   tools/bench-packages.sh --check    only say what is missing (status 1 when something is)
#
# testpmd (it lives in dpdk-dev) and OVS with its DPDK data path. Neither is left running: the benchmark starts its own,
# in private folders, so the services of the packages are kept from starting while they are installed.
set -eu

packages='dpdk-dev openvswitch-switch-dpdk'
policy=/usr/sbin/policy-rc.d

# shellcheck source=tools/debian.sh
. "$(dirname "$0")/debian.sh"

# Debian's way to say that no service may start (invoke-rc.d asks this file). One that is there already stays as it is.
without_services() {
  if [ -e "$policy" ]; then "$@"; return; fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  trap 'as_root rm -f "$policy"' EXIT INT TERM
  as_root chmod 755 "$policy"
  "$@"
}

missing=$(missing_packages)
case "${1:-}" in
'')
  [ -n "$missing" ] || { say "all there"; exit 0; }
  say "installing $missing"
  as_root apt-get -q update
  # shellcheck disable=SC2086 # a list of names, one word each
  without_services as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing
  ;;
--check)
  [ -z "$missing" ] || { say "missing: $missing"; exit 1; }
  say "all there"
  ;;
*)
  say "unknown argument '$1'; usage: tools/bench-packages.sh [--check]"
  exit 2
  ;;
esac
