#!/usr/bin/env bash
# demo.sh: runs the built demo; `make demo` fetches and builds what it needs first.
set -euo pipefail
ME=demo
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$REPO"
program=${CARGO_TARGET_DIR:-target}/release/demo
[ -x "$program" ] || die "$program is not built: run 'make demo'"
export MILLSTREAM_CACHE=$CACHE MILLSTREAM_SERVERS=$SERVERS
# io_uring needs locked memory, and connections are files
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
ulimit -l "$(ulimit -Hl)" 2>/dev/null || true
exec "$program"
