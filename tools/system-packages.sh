#!/bin/sh
# What the system tests (test/system) need from Debian, put there once:
#
#   tools/system-packages.sh            install what is missing
#   tools/system-packages.sh --check    only say what is missing (status 1 when something is)
#
# 1. packages, installed: QEMU of the release, testpmd (it lives in dpdk-dev), a kernel and a busybox for the guests,
#    libvirt (the daemon with its QEMU driver, and virsh; the tests run a private one), what the guests measure with and
#    tshark, which judges what they captured, the firmware that boots from a NIC, and Chromium, which runs the lab;
# 2. QEMU 10, unpacked *beside* the installed QEMU into ${XDG_CACHE_HOME:-~/.cache}/ringbridge/qemu-10. Debian 12's
#    QEMU 7.2 cannot run a vhost-user NIC with MSI-X under TCG, QEMU 10 of its backports can. Nothing of it is installed
#    and no apt source is left behind. Where backports cannot be reached the reason is written to qemu-10.reason, which
#    the suite prints when it skips the tests with MSI-X; that is no failure of this script.
set -eu

packages='qemu-system-x86 dpdk-dev linux-image-cloud-amd64 busybox-static xz-utils
  libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients ethtool tcpdump iperf3 tshark ipxe-qemu chromium libxml2-utils'
cache="${XDG_CACHE_HOME:-$HOME/.cache}/ringbridge"
qemu10="$cache/qemu-10"
reason="$cache/qemu-10.reason"

# shellcheck source=tools/debian.sh
. "$(dirname "$0")/debian.sh"

# Mirrors have bad minutes: three attempts, then the caller's error.
retry() {
  for pause in 2 8 0; do
    if "$@"; then return 0; fi
    [ "$pause" -eq 0 ] || { say "failed, again in $pause s: $*"; sleep "$pause"; }
  done
  return 1
}

# True when the QEMU of the release itself is new enough, so that nothing has to be unpacked.
system_qemu_is_new() {
  version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge 10 ]
}

install_packages() {
  missing=$(missing_packages)
  [ -n "$missing" ] || { say "packages: all there"; return 0; }
  say "packages: installing $missing"
  retry as_root apt-get -q update
  # shellcheck disable=SC2086 # a list of names, one word each
  retry as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing
}

no_qemu10() {
  mkdir -p "$cache"
  printf '%s\n' "$*" >"$reason"
  say "QEMU 10: $* (the tests that need it will be skipped)"
}

# Unpacks the backported QEMU and everything it needs beyond what is installed. Works in $work, a private apt tree:
# its sources are the machine's own with one entry added, its package lists a copy, so the machine's stay as they are.
unpack_qemu10() {
  work=$1
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  # Where this machine gets its release from is where its backports are.
  uri=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $codename" 'Created-By: Packages' 'Origin: Debian' |
    head -n 1)
  [ -n "$uri" ] || { no_qemu10 "no Debian source for '$codename' in this machine's apt configuration"; return 0; }

  mkdir -p "$work/sources" "$work/lists/partial" "$work/archives/partial" "$work/root" "$work/debs"
  chmod 755 "$work"
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  if [ -r "$keyring" ]; then options=" [signed-by=$keyring]"; else options=''; fi
  echo "deb$options $uri $codename-backports main" >"$work/sources/backports.list"
  only="-o Dir::Etc::sourcelist=$work/sources/backports.list -o Dir::Etc::sourceparts=/dev/null"
  private="-o Dir::State::lists=$work/lists -o Dir::Cache=$work -o Dir::Cache::archives=$work/archives
    -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User= -o Acquire::Retries=3"
  for list in /var/lib/apt/lists/*; do
    if [ -f "$list" ] && [ "${list##*/}" != lock ]; then cp "$list" "$work/lists/"; fi
  done
  # shellcheck disable=SC2086 # $only and $private are lists of options
  apt-get -q $only $private update >"$work/update.log" 2>&1 && ! grep -Eq '^(E|Err):' "$work/update.log" ||
    { no_qemu10 "backports of $codename cannot be reached: $(grep -E '^(E|Err|W):' "$work/update.log" | head -n 1)"
      return 0; }

  # The solver names what would be installed: the new QEMU, its data and firmware, and any library that is missing.
  cp -r /etc/apt/sources.list.d/. "$work/sources/" 2>/dev/null || true
  list=/etc/apt/sources.list
  [ -r "$list" ] || list=/dev/null
  all="-o Dir::Etc::sourcelist=$list -o Dir::Etc::sourceparts=$work/sources"
  # shellcheck disable=SC2086
  wanted=$(apt-get -s $all $private -t "$codename-backports" --no-install-recommends install qemu-system-x86 |
    sed -n 's/^Inst \([^ ]*\) \(\[[^]]*\] \)\{0,1\}(\([^ ]*\) .*/\1=\3/p')
  case "$wanted" in
  *qemu-system-x86=*) ;;
  *) no_qemu10 "backports of $codename hold no newer qemu-system-x86"; return 0 ;;
  esac
  # shellcheck disable=SC2086
  (cd "$work/debs" && retry apt-get -q $all $private download $wanted >"$work/download.log" 2>&1) ||
    { no_qemu10 "download failed: $(tail -n 1 "$work/download.log")"; return 0; }
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done

  cat >"$work/root/qemu-system-x86_64" <<'WRAPPER'
#!/bin/sh
# QEMU unpacked beside the installed one: its own libraries, modules and firmware first.
here=$(dirname "$(readlink -f "$0")")
lib="$here/usr/lib/x86_64-linux-gnu"
export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" QEMU_MODULE_DIR="$lib/qemu"
exec "$here/usr/bin/qemu-system-x86_64" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" \
  -L "$here/usr/lib/ipxe/qemu" -L /usr/share/qemu -L /usr/share/seabios -L /usr/lib/ipxe/qemu "$@"
WRAPPER
  chmod 755 "$work/root/qemu-system-x86_64"
  "$work/root/qemu-system-x86_64" --version >"$work/version.log" 2>&1 ||
    { no_qemu10 "unpacked, but does not start: $(head -n 1 "$work/version.log")"; return 0; }
  mkdir -p "$cache"
  rm -rf "$qemu10" "$reason"
  mv "$work/root" "$qemu10"
  say "QEMU 10: $(head -n 1 "$work/version.log") in $qemu10"
}

install_qemu10() {
  if system_qemu_is_new; then say "QEMU 10: the installed QEMU is new enough"; return 0; fi
  if [ -x "$qemu10/qemu-system-x86_64" ]; then say "QEMU 10: already in $qemu10"; return 0; fi
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT INT TERM
  # On a machine whose lists were never fetched the solver would know no library.
  [ -n "$(find /var/lib/apt/lists -name '*Packages*' 2>/dev/null | head -n 1)" ] || retry as_root apt-get -q update
  unpack_qemu10 "$scratch"
}

case "${1:-}" in
'')
  install_packages
  install_qemu10
  ;;
--check)
  missing=$(missing_packages)
  [ -z "$missing" ] || { say "missing: $missing"; exit 1; }
  system_qemu_is_new || [ -x "$qemu10/qemu-system-x86_64" ] || { say "missing: QEMU 10 in $qemu10"; exit 1; }
  say "all there"
  ;;
*)
  say "unknown argument '$1'; usage: tools/system-packages.sh [--check]"
  exit 2
  ;;
esac
