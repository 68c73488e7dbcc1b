#!/usr/bin/env bash
# instructions.sh [--update] [STAGE...]: how many instructions each stage of the hot path takes for a row (an event, a
# packet), held against bench/instructions.toml; fails where one takes more than that file allows.
#
# --update writes what was counted into that file: for a change that is meant.
# Callgrind does the counting, so that the machine's load and speed do not matter. It shows every program the same
# CPU (with AVX2, where the machine has it). Another compiler, C library or valgrind counts a little differently:
# then the file's second threshold holds.
set -euo pipefail
ME=instructions
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$REPO"
[ ! -d "$HOME/.cargo/bin" ] || PATH=$HOME/.cargo/bin:$PATH
TABLE=bench/instructions.toml

update=
case "${1:-}" in
  --update) update=1; shift ;;
  -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
have valgrind || die "valgrind is missing: scripts/setup.sh test installs it"
[ "$(uname -m)" = x86_64 ] || { say "not counted: the table is of x86-64"; exit 0; }

cargo build --release --locked -q -p millstream-bench --bin instructions </dev/null
program=${CARGO_TARGET_DIR:-target}/release/instructions
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$program" >"$work/all"
[ $# -gt 0 ] && printf '%s\n' "$@" >"$work/stages" || cp "$work/all" "$work/stages"

# count STAGE: writes "STAGE INSTRUCTIONS UNITS WORD" into $work/STAGE.count
count() {
  local stage=$1
  # The environment lies on the stack: the same one for everybody.
  env -i PATH="$PATH" valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
    --toggle-collect='*measured_stage*' "$program" "$stage" >"$work/$stage.out" 2>"$work/$stage.err" </dev/null ||
    { cat "$work/$stage.err" >&2; return 1; }
  awk -v stage="$stage" -v out="$work/$stage.out" '
    / Collected : / { collected = $NF }
    END {
      getline line < out
      split(line, words, /[ ,]+/)
      if (collected + 0 == 0 || words[2] + 0 == 0) { print "instructions: nothing was counted of " stage > "/dev/stderr"; exit 1 }
      printf "%s %d %d %s\n", stage, collected, words[2], words[3]
    }' "$work/$stage.err" >"$work/$stage.count"
}
export -f count
export work program
xargs -r -n 1 -P "$(nproc)" bash -c 'count "$1"' count <"$work/stages" || die "a stage did not run"
while read -r stage; do cat "$work/$stage.count"; done <"$work/stages" >"$work/counted"

cpu=baseline
grep -qw avx2 /proc/cpuinfo && cpu=avx2
tools="$(rustc --version | cut -d' ' -f1,2), $(ldd --version | awk 'NR == 1 {print "glibc " $NF}'), $(valgrind --version), $cpu"

if [ -n "$update" ]; then
  [ $# = 0 ] || die "--update renews the whole table"
  {
    sed '/^tools = /,$d' "$TABLE"
    echo "tools = \"$tools\""
    echo
    echo "[stages]"
    awk '{ printf "\"%s\" = %.1f  # for each of %d %s\n", $1, $2 / $3, $3, $4 }' "$work/counted"
  } >"$work/table"
  cp "$work/table" "$TABLE"
  say "$TABLE is written"
fi

# The table is read by lines: it has no nested values.
awk -v tools="$tools" -v all="$work/all" -v whole="$([ $# = 0 ] && echo 1)" '
  function value(line) { sub(/^[^=]*= */, "", line); sub(/ *#.*/, "", line); gsub(/"/, "", line); return line }
  FNR == NR && /^threshold_percent = / { threshold = value($0) + 0 }
  FNR == NR && /^threshold_percent_other_tools = / { other = value($0) + 0 }
  FNR == NR && /^tools = / { told = value($0) }
  FNR == NR && /^"/ { split($0, parts, "\""); committed[parts[2]] = value($0) + 0 }
  FNR == NR { next }
  FNR == 1 {
    if (told != tools) {
      printf "the table is of other tools (%s; here: %s): %s percent are allowed\n", told, tools, other
      threshold = other
    }
    printf "%-24s %12s %12s %9s\n", "stage", "committed", "now", "change"
  }
  {
    now = $2 / $3
    count += 1
    if (!($1 in committed)) { printf "%-24s %12s %12.1f %9s  NOT IN THE TABLE\n", $1, "-", now, "-"; bad += 1; next }
    seen[$1] = 1
    change = (now / committed[$1] - 1) * 100
    if (change < 0.05 && change > -0.05) change = 0
    note = ""
    if (change > threshold) { note = "  MORE THAN ALLOWED"; bad += 1 }
    if (change < -threshold) { note = "  better: renew the table"; better += 1 }
    printf "%-24s %12.1f %12.1f %+8.1f%%%s\n", $1, committed[$1], now, change, note
  }
  END {
    if (whole) for (stage in committed) if (!(stage in seen)) { printf "%-24s is in the table and not a stage\n", stage; bad += 1 }
    if (bad) print "instructions: " bad " of " count " stages are not as the table has them; where that is meant: scripts/instructions.sh --update"
    else print "instructions: " count " stages within " threshold " percent of bench/instructions.toml" (better ? ", " better " better" : "")
    exit bad > 0
  }' "$TABLE" "$work/counted"
