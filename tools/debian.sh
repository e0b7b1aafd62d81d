# Read by the scripts beside it that install Debian packages (`packages`, a list of names), not run by itself.

# What such a script says begins with its name.
say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else say "this needs root: run as root, or install sudo: $*"; return 1
  fi
}

# Those of `packages` that are not installed.
missing_packages() {
  for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || printf '%s ' "$package"
  done
}
