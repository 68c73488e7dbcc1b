# For the peers on the JVM. After common.sh.

# build_jvm MODULE: its classes and what they need into $OUT/lib.
build_jvm() {
  command -v mvn >/dev/null || fail "no mvn here"
  rm -rf "$OUT/lib"
  mkdir -p "$OUT"
  quietly "$OUT/build.log" mvn -B -q -f "$HERE/../java/pom.xml" -pl "$1" -am -Dpeers.out="$OUT" package
  cp "$OUT/maven/$1/peer-$1-1.jar" "$OUT/lib/"
  echo "$NAME: built"
}

# run_jvm CLASS FLAGS... -- ARGUMENTS...: becomes the JVM. PEERS_JAVA names another than the one in PATH.
run_jvm() {
  local class=$1 flags=()
  shift
  while [ "$1" != -- ]; do
    flags+=("$1")
    shift
  done
  shift
  [ -d "$OUT/lib" ] || fail "not built: $HERE/build"
  exec "${PEERS_JAVA:-java}" "${flags[@]}" -cp "$OUT/lib/*" "$class" "$@"
}
