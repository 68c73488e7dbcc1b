# server-run.sh: starts and ends private servers. Sourced by servers.sh.
#
# An instance is one folder: DIR/data (the data directory), DIR/run (socket, log, pid). Only a process
# whose command line names that data directory is ever signalled. The first start of a server prepares a
# template data directory in the cache; every later one copies it, which takes a fraction of a second.
#
# Durability is turned down on purpose: all that reaches the page cache survives `kill9`, and the machine
# itself does not crash in a test.

TEMPLATE_REVISION=1                  # raise it when the template's content changes
START_TIMEOUT_S=${MILLSTREAM_START_TIMEOUT_S:-90}

cmd_list() {
  local name
  for name in $(known_names); do
    if is_available "$name"; then
      echo "$name $(cat "$SERVERS/$name/VERSION")"
    else
      case " $FETCH_DEFAULT " in *" $name "*) echo "$name not available" ;; esac
    fi
  done
}

# cmd_program NAME-IN-MYSQL NAME-IN-MARIADB: MySQL 9.7's client speaks to every server
cmd_program() {
  local path
  for path in "$SERVERS/mysql97/bin/$1" "$SERVERS"/mariadb*/bin/"$2"; do
    [ ! -x "$path" ] || { echo "$path"; return 0; }
  done
  path=$(command -v "$1" || command -v "$2") || die "no client program here: run 'make servers'"
  echo "$path"
}

# ---- who runs where --------------------------------------------------------------------------------

program_of() { if [ "$(server_kind "$1")" = mariadb ]; then echo "$SERVERS/$1/bin/mariadbd"; else echo "$SERVERS/$1/bin/mysqld"; fi; }
base_of()    { if [ -d "$SERVERS/$1/root/usr" ]; then echo "$SERVERS/$1/root/usr"; else echo "$SERVERS/$1/root"; fi; }

# alive PID DATA: a process with this data directory among its arguments; never a reused number
alive() { [ -r "/proc/$1/cmdline" ] && grep -zqxF -- "--datadir=$2" "/proc/$1/cmdline" 2>/dev/null; }

# running_pid DIR: the pid of its server, or nothing
running_pid() {
  local pid
  pid=$(cat "$1/run/pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && alive "$pid" "$1/data" && echo "$pid"
}

absolute() { mkdir -p "$1" && (cd "$1" && pwd -P); }

# As root the servers run as an ordinary account where it can reach what it needs, else as root
# (a cache folder under a closed home directory): they listen on loopback only.
account_for() {
  [ "$(id -u)" = 0 ] || return 0
  local account=${MILLSTREAM_SERVER_USER:-nobody}
  if id "$account" >/dev/null 2>&1 && setpriv --reuid="$account" --regid="$(id -g "$account")" --clear-groups \
    sh -c 'for path; do cd "$path" || exit 1; done' sh "$@" 2>/dev/null; then
    echo "$account"
  else
    echo root
  fi
}

# fixed_options NAME DATA RUN ACCOUNT: one a line; what every run of this server needs
fixed_options() {
  local name=$1 data=$2 run=$3 account=$4 base share
  base=$(base_of "$name")
  printf '%s\n' --no-defaults "--basedir=$base" "--datadir=$data" "--tmpdir=$run" --innodb-use-native-aio=0 \
    --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=2
  [ -z "$account" ] || echo "--user=$account"
  for share in "$base/share/mariadb" "$base/share/mysql"; do
    [ -d "$share/charsets" ] || continue
    printf '%s\n' "--lc-messages-dir=$share" "--character-sets-dir=$share/charsets"
    break
  done
  for share in "$base/lib/mysql/plugin" "$base/lib/mariadb/plugin"; do
    [ ! -d "$share" ] || { echo "--plugin-dir=$share"; break; }
  done
  case "$name" in
    mysql97)  printf '%s\n' --innodb-redo-log-capacity=64M --innodb-doublewrite=OFF --mysqlx=OFF ;;
    mysql5*)  printf '%s\n' --innodb-doublewrite=0 ;;
    mariadb*) printf '%s\n' --innodb-log-file-size=48M --innodb-doublewrite=0 ;;
  esac
}

# source_options NAME DIR PORT: what a source of changes is configured with
source_options() {
  local name=$1 dir=$2 port=$3
  printf '%s\n' --bind-address=127.0.0.1 "--port=$port" "--socket=$dir/run/sock" "--pid-file=$dir/run/server.pid" \
    "--log-error=$dir/run/err.log" "--server-id=$port" "--log-bin=$dir/data/binlog" --binlog-format=ROW \
    --binlog-row-image=FULL --sync-binlog=0 "--secure-file-priv=$dir/run" --max-connections=300 \
    --max-allowed-packet=1G --character-set-server=utf8mb4 --default-time-zone=+00:00 --skip-name-resolve \
    --performance-schema=OFF
  case "$name" in
    mysql97)  printf '%s\n' --gtid-mode=ON --enforce-gtid-consistency=ON --binlog-row-metadata=FULL \
                --binlog-rows-query-log-events=ON ;;
    mysql5*)  printf '%s\n' --gtid-mode=ON --enforce-gtid-consistency=ON --log-slave-updates=ON \
                --binlog-rows-query-log-events=ON --explicit-defaults-for-timestamp=ON ;;
    mariadb*) printf '%s\n' --binlog-row-metadata=FULL --gtid-strict-mode=ON --log-slave-updates=ON \
                --binlog-annotate-row-events=ON ;;
  esac
}

# ---- the template --------------------------------------------------------------------------------

# account_sql NAME: the account that tests and demo use
account_sql() {
  case "$1" in
    mysql97)
      echo "CREATE USER 'cdc'@'%' IDENTIFIED BY 'cdc';"
      echo "GRANT ALL PRIVILEGES ON *.* TO 'cdc'@'%' WITH GRANT OPTION;" ;;
    *)
      echo "GRANT ALL PRIVILEGES ON *.* TO 'cdc'@'%' IDENTIFIED BY 'cdc' WITH GRANT OPTION;" ;;
  esac
}

# template_of NAME ACCOUNT: prints the folder; makes it at the first call
template_of() {
  local name=$1 account=$2 template build options
  template=$SERVERS/.templates/$name-$(cat "$SERVERS/$name/VERSION")-r$TEMPLATE_REVISION
  [ ! -d "$template" ] || { echo "$template"; return 0; }
  mkdir -p "$SERVERS/.templates"
  (
    exec 9>"$SERVERS/.templates/.$name.lock"
    flock 9
    [ ! -d "$template" ] || exit 0
    say "$name: preparing a data directory (first start only)"
    rm -rf "$SERVERS/.templates/.$name.build".*
    build=$(mktemp -d "$SERVERS/.templates/.$name.build.XXXXXX")
    trap 'rm -rf "$build"' EXIT
    chmod 755 "$build"
    mkdir "$build/data" "$build/run"
    [ -z "$account" ] || chown -R "$account" "$build"
    mapfile -t options < <(fixed_options "$name" "$build/data" "$build/run" "$account")
    "prepare_${name%%[0-9]*}" "$name" "$build" "$account" "${options[@]}" 9>&- >"$build/run/log" 2>&1 ||
      { tail -n 15 "$build/run/log" >&2; die "$name: the data directory could not be prepared"; }
    rm -f "$build/data/auto.cnf"           # every instance makes a server_uuid of its own
    mv "$build/data" "$template"
  ) || return 1
  echo "$template"
}

prepare_mysql() {
  local name=$1 build=$2 account=$3
  shift 3
  if [ "$name" = mysql56 ]; then
    # 5.6 has no --initialize; the package brings a ready data directory
    cp -r "$SERVERS/mysql56/root/data/mysql/." "$build/data/" || return 1
    rm -f "$build/data/auto.cnf"
    [ -z "$account" ] || chown -R "$account" "$build/data"
    { echo "DELETE FROM mysql.user WHERE User = '';"; echo "FLUSH PRIVILEGES;"; account_sql "$name"; } |
      "$(program_of "$name")" "$@" --bootstrap
    return
  fi
  account_sql "$name" >"$build/run/account.sql"
  "$(program_of "$name")" "$@" --initialize-insecure "--init-file=$build/run/account.sql"
}

# What MariaDB's own installation script does, from the SQL files that it ships.
prepare_mariadb() {
  local name=$1 build=$2 share prefix file
  shift 3
  share=$(printf '%s\n' "$@" | sed -n 's/^--lc-messages-dir=//p')
  prefix=mariadb
  [ -f "$share/mariadb_system_tables.sql" ] || prefix=mysql
  mkdir "$build/data/mysql"
  [ "$(id -u)" != 0 ] || chown --reference="$build/data" "$build/data/mysql"
  {
    echo "USE mysql;"
    echo "SET @auth_root_socket = NULL, @skip_auth_anonymous = 1;"
    for file in ${prefix}_system_tables ${prefix}_performance_tables ${prefix}_system_tables_data fill_help_tables \
      maria_add_gis_sp_bootstrap ${prefix}_sys_schema; do
      [ ! -f "$share/$file.sql" ] || cat "$share/$file.sql"
    done
    echo "FLUSH PRIVILEGES;"
    account_sql "$name"
  } | "$(program_of "$name")" "$@" --bootstrap --log-warnings=0 --max-allowed-packet=8M
}

# ---- start -----------------------------------------------------------------------------------------

# cmd_start NAME DIR PORT [--owner PID] [server options]
cmd_start() {
  [ $# -ge 3 ] || { usage >&2; die "start wants NAME DIR PORT"; }
  local name=$1 dir=$2 port=$3 owner='' account template tries=1
  shift 3
  if [ "${1:-}" = --owner ]; then owner=$2; shift 2; fi
  case "$port" in ''|*[!0-9]*) die "the port must be a number (0 chooses one)" ;; esac
  [ -n "$(server_row "$name")" ] || die "no server called '$name'; known: $(known_names | xargs)"
  is_available "$name" || die "$name is not here: scripts/servers.sh fetch $name"
  dir=$(absolute "$dir")
  [ ${#dir} -le 98 ] || die "the path of $dir is too long for a socket (98 bytes at most)"
  ! running_pid "$dir" >/dev/null || die "a server runs already in $dir (pid $(running_pid "$dir"))"

  account=$(account_for "$SERVERS/$name" "$dir")
  mkdir -p "$dir/run"
  if [ ! -d "$dir/data" ]; then
    template=$(template_of "$name" "$account") || exit 1
    rm -rf "$dir/data.new"
    cp -r --reflink=auto --sparse=always "$template" "$dir/data.new"
    mv "$dir/data.new" "$dir/data"
  fi
  [ -z "$account" ] || chown -R "$account" "$dir"

  # A chosen port may be taken between choice and bind: then the server ends at once, and we choose again.
  [ "$port" != 0 ] || tries=20
  while :; do
    local chosen=$port
    [ "$port" != 0 ] || chosen=$(free_port)
    launch "$name" "$dir" "$chosen" "$account" "$owner" "$@" && return 0
    tries=$((tries - 1))
    if [ $tries -gt 0 ] && grep -qE 'Address already in use|port is already in use' "$dir/run/err.log"; then continue; fi
    tail -n 15 "$dir/run/err.log" "$dir/run/out.log" >&2 || true
    die "$name did not start in $dir"
  done
}

# A port below the range from which the kernel gives out ports by itself.
free_port() {
  local port
  while :; do
    port=$((21000 + (RANDOM * 32768 + RANDOM) % 11000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port; return; }
  done
}

launch() {
  local name=$1 dir=$2 port=$3 account=$4 owner=$5 options pid end
  shift 5
  mapfile -t options < <(fixed_options "$name" "$dir/data" "$dir/run" "$account"; source_options "$name" "$dir" "$port")
  rm -f "$dir"/run/{pid,sock,sock.lock,server.pid}
  : >"$dir/run/err.log"
  [ -z "$account" ] || chown "$account" "$dir/run/err.log"
  # In a process group of its own (an interrupt typed at the terminal is the owner's business), and with
  # none of the caller's descriptors: a pipe that it held open would never end.
  setsid "$(program_of "$name")" "${options[@]}" "$@" </dev/null >"$dir/run/out.log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
  pid=$!
  echo "$pid" >"$dir/run/pid"
  if [ -n "$owner" ]; then
    setsid "$BASH" "$REPO/scripts/servers.sh" guard "$owner" "$pid" "$dir" </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
    disown
  fi
  end=$((SECONDS + START_TIMEOUT_S))
  # The log is the server's own word; a connection to the port could be answered by somebody else's.
  until grep -q 'ready for connections' "$dir/run/err.log"; do
    kill -0 "$pid" 2>/dev/null || return 1
    if [ $SECONDS -ge $end ]; then
      kill -KILL "$pid"
      say "$name: not ready after $START_TIMEOUT_S s"
      return 1
    fi
    pause 0.05
  done
  disown "$pid" 2>/dev/null || true
  echo "name=$name version=$(cat "$SERVERS/$name/VERSION") port=$port pid=$pid socket=$dir/run/sock datadir=$dir/data log=$dir/run/err.log"
}

# pause SECONDS, without a process
pause() {
  [ -n "${PAUSE_FD:-}" ] || exec {PAUSE_FD}<> <(:)
  read -r -t "$1" -u "$PAUSE_FD" || true
}

# ---- end -------------------------------------------------------------------------------------------

# end_server PID DATA SIGNAL SECONDS
end_server() {
  local pid=$1 data=$2 signal=$3 end=$((SECONDS + $4))
  kill "-$signal" "$pid" 2>/dev/null || return 0
  while alive "$pid" "$data"; do
    [ $SECONDS -lt $end ] || return 1
    pause 0.05
  done
}

cmd_stop() {
  [ $# -ge 1 ] || die "stop wants DIR"
  local dir=$1 wipe=${2:-} pid signal=TERM
  [ -d "$dir" ] || { say "no such folder: $dir"; return 0; }
  dir=$(absolute "$dir")
  [ -z "$wipe" ] || { [ "$wipe" = --wipe ] || die "unknown option $wipe"; }
  if pid=$(running_pid "$dir"); then
    [ -z "$wipe" ] || signal=KILL          # nothing of it is kept: no need to let it flush
    end_server "$pid" "$dir/data" $signal 60 || {
      say "pid $pid does not end; killing it"
      end_server "$pid" "$dir/data" KILL 10 || die "pid $pid cannot be killed"
    }
    rm -f "$dir/run/pid"
  fi
  # Only what looks like an instance is removed.
  if [ -n "$wipe" ] && { [ -d "$dir/run" ] || [ -d "$dir/data" ]; }; then
    rm -rf "$dir/data" "$dir/run" "$dir/data.new"
    rmdir "$dir" 2>/dev/null || true
  fi
}

cmd_kill9() {
  [ $# = 1 ] || die "kill9 wants DIR"
  local dir pid
  dir=$(absolute "$1")
  pid=$(running_pid "$dir") || die "no server runs in $dir"
  end_server "$pid" "$dir/data" KILL 10 || die "pid $pid cannot be killed"
  rm -f "$dir/run/pid"
}

# cmd_guard OWNER PID DIR: waits for the owner's end, then leaves nothing of the server. Ends by itself
# when the server does. (PR_SET_PDEATHSIG would not do: it fires when the starting thread ends.)
cmd_guard() {
  local owner=$1 pid=$2 dir=$3 owner_birth server_birth
  server_birth=$(birth_of "$pid") || return 0
  owner_birth=$(birth_of "$owner") || owner_birth=none
  while [ "$(birth_of "$pid")" = "$server_birth" ]; do
    if [ "$(birth_of "$owner")" != "$owner_birth" ]; then
      cmd_stop "$dir" --wipe
      return
    fi
    pause 0.5
  done
}

# birth_of PID: its start time, so that a reused number is another process; fails when there is none
birth_of() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${stat##*) }
  # a zombie has ended, though nobody has asked for its status yet
  [ "$1" != Z ] && [ "$1" != X ] && echo "born ${20}"
}
