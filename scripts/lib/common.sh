# common.sh: what the scripts share. Sourced, never run.
#
# Names used by all: REPO (the checkout), CACHE (what may be deleted and fetched again).

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${MILLSTREAM_CACHE:-$HOME/.cache/millstream}
SERVERS=${MILLSTREAM_SERVERS:-$CACHE/servers}
ME=${ME:-millstream}

say()  { printf '%s: %s\n' "$ME" "$*" >&2; }
die()  { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# retry COUNT COMMAND...: again after 1, 2, 3.. seconds; the status of the last try
retry() {
  local count=$1 try=1 status=0
  shift
  while :; do
    status=0
    "$@" && return 0 || status=$?
    [ "$try" -lt "$count" ] || return "$status"
    sleep "$try"
    try=$((try + 1))
  done
}

# size_mib PATH: what it takes on disk
size_mib() { du -sm "$1" | cut -f1; }

# version_at_least HAVE WANT: compares dotted numbers
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }
