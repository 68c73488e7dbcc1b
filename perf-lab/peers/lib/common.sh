# What the build and run scripts of the peers share. Sets REPO, OUT (where NAME's build goes) and reason().
HERE=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
NAME=$(basename "$HERE")
REPO=$(cd "$HERE/../../.." && pwd)
OUT=${CARGO_TARGET_DIR:-$REPO/target}/peers/$NAME

# One line that says why, and out.
fail() {
  echo "$NAME: $*" >&2
  exit 1
}

# quietly LOG COMMAND...: output goes to LOG; when it fails, its first line that looks like a reason is what is told.
quietly() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 && return
  fail "'$1' failed, $log: $(grep -m1 -iE 'error|cannot|could not|forbidden' "$log" | cut -c1-300)"
}
