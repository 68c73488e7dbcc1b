#!/usr/bin/env bash
# fuzz.sh TARGET|all [SECONDS]: coverage-guided fuzzing of the parsers, with libFuzzer on the stable toolchain.
#
# TARGET   one of tests/fuzz/src/targets (list: fuzz.sh list); all runs each, one after the other, on one core
# SECONDS  for each target (default 60)
#
# It starts from tests/fuzz/corpus/TARGET and goes on with what earlier runs found in target/fuzz/corpus/TARGET. An input
# that fails is left in target/fuzz/artifacts/TARGET-*, and told; run it alone with
#   fuzz.sh TARGET FILE
# Then: a unit test beside the code that was at fault, and the input into tests/fuzz/corpus/TARGET.
#
# Needs a C++ compiler. Memory of a run is bounded by 1 GiB, an input's time by 10 seconds.
set -euo pipefail
ME=fuzz
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$REPO"
[ ! -d "$HOME/.cargo/bin" ] || PATH=$HOME/.cargo/bin:$PATH

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; }

targets() { sed -n 's/.*Target { name: "\([a-z_]*\)".*/\1/p' tests/fuzz/src/lib.rs; }

max_len() { sed -n "s/.*Target { name: \"$1\".*input_bytes_max: \([^,]*\),.*/\1/p" tests/fuzz/src/lib.rs; }

case "${1:-}" in
  -h | --help | '') usage; exit 0 ;;
  list) targets; exit 0 ;;
esac
[ "$1" = all ] || targets | grep -qxF -- "$1" || die "no target '$1'; there are: $(targets | tr '\n' ' ')"
have c++ || have g++ || have clang++ || die "a C++ compiler is needed (Debian: apt-get install g++)"

out=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
# Counters and comparisons of every function that is compiled for the target, not of build scripts (--target).
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code"
RUSTFLAGS="$flags" cargo build --locked --profile fuzz --target "$host" -p millstream-fuzz --features libfuzzer --bin fuzz
program=$out/$host/fuzz/fuzz
found=$out/fuzz
mkdir -p "$found/artifacts"

fuzz() {
  local target=$1
  shift
  MILLSTREAM_FUZZ_TARGET=$target "$program" -rss_limit_mb=1024 -timeout=10 -max_len=$(($(max_len "$target"))) \
    -artifact_prefix="$found/artifacts/$target-" -print_final_stats=1 "$@"
}

if [ -f "${2:-}" ]; then
  fuzz "$1" "$2"
  exit
fi
seconds=${2:-60}
status=0
for target in $([ "$1" = all ] && targets || echo "$1"); do
  say "$target, $seconds s"
  mkdir -p "$found/corpus/$target"
  seeds=()
  [ ! -d "tests/fuzz/corpus/$target" ] || seeds=("tests/fuzz/corpus/$target")
  fuzz "$target" -max_total_time="$seconds" "$found/corpus/$target" "${seeds[@]}" || status=$?
done
exit "$status"
