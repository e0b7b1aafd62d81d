#!/bin/sh
# Builds vhost-user-bridge, which `npm run conformance` examines, into ${XDG_CACHE_HOME:-~/.cache}/ringbridge/vhost-user-bridge:
#
#   tools/vhost-user-bridge.sh            build it when it is not there
#   tools/vhost-user-bridge.sh --check    only say whether it is there (status 1 when not)
#
# It is a test program of QEMU that Debian packages in no version. Four files of QEMU's source package and GLib are all that
# it takes, so neither meson nor QEMU's configure is needed. No apt source is left behind.
set -eu

to="${XDG_CACHE_HOME:-$HOME/.cache}/ringbridge/vhost-user-bridge"
packages='dpkg-dev gcc libc6-dev pkg-config libglib2.0-dev'

# shellcheck source=tools/debian.sh
. "$(dirname "$0")/debian.sh"

case "${1:-}" in
'') ;;
--check)
  [ -x "$to/vhost-user-bridge" ] || { say "not built"; exit 1; }
  say "$(cat "$to/version")"
  exit 0
  ;;
*)
  say "unknown argument '$1'; usage: tools/vhost-user-bridge.sh [--check]"
  exit 2
  ;;
esac
[ ! -x "$to/vhost-user-bridge" ] || { say "there already: $(cat "$to/version")"; exit 0; }

missing=$(missing_packages)
if [ -n "$missing" ]; then
  say "installing $missing"
  as_root apt-get -q update
  # shellcheck disable=SC2086 # a list of names, one word each
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mkdir -p "$work/lists/partial" "$work/sources" "$work/stubs/qemu"
cat >"$work/sources/source.sources" <<END
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: $release
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://deb.debian.org/debian-security
Suites: $release-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
apt() {
  apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" -o Dir::State::lists="$work/lists" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User= "$@" >"$work/apt.log" 2>&1 ||
    { tail -5 "$work/apt.log" >&2; say "QEMU's source package could not be had"; exit 1; }
}
cd "$work"
say "fetching QEMU's source"
apt update
apt source qemu
cd "$work"/qemu-*/

# What QEMU's configure would write; the program uses no socket of its QAPI.
printf '#define CONFIG_POSIX 1\n#define CONFIG_LINUX 1\n#define CONFIG_IOVEC 1\n' >"$work/stubs/config-host.h"
: >"$work/stubs/config-poison.h"
: >"$work/stubs/qemu/sockets.h"
say "compiling"
# shellcheck disable=SC2046 # flags
gcc -O2 -g -std=gnu11 -D_GNU_SOURCE -fno-strict-aliasing -ffunction-sections -Wl,--gc-sections \
  -I"$work/stubs" -Iinclude -Isubprojects/libvhost-user $(pkg-config --cflags glib-2.0) \
  tests/vhost-user-bridge.c subprojects/libvhost-user/libvhost-user.c util/iov.c util/hexdump.c \
  $(pkg-config --libs glib-2.0) -lpthread -o "$work/vhost-user-bridge"
mkdir -p "$to"
printf 'vhost-user-bridge of QEMU %s\n' "$(cat VERSION)" >"$to/version"
mv "$work/vhost-user-bridge" "$to/vhost-user-bridge"
say "made $to/vhost-user-bridge: $(cat "$to/version")"
