#!/usr/bin/env bash
# test.sh [cargo test arguments]: all tests of the workspace and the count of instructions, then one screen that says
# what ran.
#
# Servers that could not be had are named at the end as not run: a green run without them says less.
set -euo pipefail
ME=test
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$REPO"
[ ! -d "$HOME/.cargo/bin" ] || PATH=$HOME/.cargo/bin:$PATH
export PATH=$PATH:$CACHE/bin
export MILLSTREAM_CACHE=$CACHE MILLSTREAM_SERVERS=$SERVERS
export RUST_BACKTRACE=${RUST_BACKTRACE:-1} CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
# io_uring and the servers lock memory and open files; the soft limits are often below the hard ones
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
ulimit -l "$(ulimit -Hl)" 2>/dev/null || true

mkdir -p target
log=target/test.log
started=$SECONDS
status=0
# of a part of the tests only that part is wanted
whole=
[ $# -gt 0 ] || { whole=1; set -- --workspace --no-fail-fast; }
# the end-to-end tests start the programs themselves
cargo build --workspace --bins </dev/null
cargo test "$@" </dev/null 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
if [ -n "$whole" ]; then
  # What a core runs on must not be seen from outside: the same tests on the other runtime. Of the whole workspace by
  # their names, since a package by itself would be built anew with other features.
  MILLSTREAM_RUNTIME=uring cargo test --workspace --no-fail-fast --test source --test backpressure --test clients \
    --test control --test faults --test kill </dev/null 2>&1 | tee -a "$log" || status=${PIPESTATUS[0]}
fi
counts=
if [ -n "$whole" ] && have valgrind; then
  echo
  counts=target/instructions.log
  scripts/instructions.sh </dev/null 2>&1 | tee "$counts" || status=${PIPESTATUS[0]}
fi

echo
echo "---- summary ($((SECONDS - started)) s, full output in $log) ----"
awk '
  { gsub(/\033\[[0-9;]*m/, "") }
  /^test result:/ { suites++; passed += $4; failed += $6; ignored += $8 }
  /^test .* \.\.\. FAILED$/ { print "FAILED  " $2 }
  /^error(\[E[0-9]+\])?: (could not compile|.*aborting)/ { print }
  END { printf "tests: %d passed, %d failed, %d ignored, in %d test programs\n", passed, failed, ignored, suites }
' "$log"
[ -z "$counts" ] || tail -n 1 "$counts"
scripts/servers.sh list | awk '
  /not available$/ { missing = missing " " $1; next }
  { there = there " " $1 "(" $2 ")" }
  END {
    print "servers:" (there ? there : " none")
    if (missing) print "not run, because these servers could not be had:" missing
  }'
[ -f "$CACHE/python/.ready" ] || echo "not run, because pycapnp could not be had: the Python client"
have promtool || echo "not run, because promtool could not be had: the check of the metrics' text"
have valgrind || echo "not run, because valgrind could not be had: the count of instructions"
[ "$status" = 0 ] && echo "all tests passed" || echo "tests FAILED"
exit "$status"
