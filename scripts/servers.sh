#!/usr/bin/env bash
# servers.sh: real MySQL and MariaDB servers for the tests and the demo, on loopback, without containers.
#
# They live in ~/.cache/millstream/servers (or $MILLSTREAM_SERVERS); deleting that folder is always safe.
set -euo pipefail
ME=servers
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$REPO/scripts/lib/server-fetch.sh"
. "$REPO/scripts/lib/server-run.sh"

usage() {
  cat <<U
usage: scripts/servers.sh COMMAND

  fetch [NAME...]            bring servers into $SERVERS
                             (without names: $FETCH_DEFAULT;
                             status 0 when at least one MySQL and one MariaDB are there)
  list                       what is there, and what is not
  start NAME DIR PORT [--owner PID] [server options]
                             a private server in DIR (made when absent) on 127.0.0.1:PORT; PORT 0 chooses one.
                             Row-format binlog, GTIDs, full row metadata where there is such a thing, and an
                             account cdc with the password cdc. Prints one line:
                             name=.. version=.. port=.. pid=.. socket=.. datadir=.. log=..
                             With --owner the server is killed and DIR removed when that process ends.
  stop DIR [--wipe]          end it; --wipe removes DIR too
  kill9 DIR                  end it as a crash would; start it again with 'start'
  client | mysqlbinlog       path of a client program that works with every server
U
}

command=${1:-help}
[ $# = 0 ] || shift
case "$command" in
  fetch)       cmd_fetch "$@" ;;
  list)        cmd_list ;;
  start)       cmd_start "$@" ;;
  stop)        cmd_stop "$@" ;;
  kill9)       cmd_kill9 "$@" ;;
  client)      cmd_program mysql mariadb ;;
  mysqlbinlog) cmd_program mysqlbinlog mariadb-binlog ;;
  guard)       cmd_guard "$@" ;;
  help|-h|--help) usage ;;
  *) usage >&2; die "no command '$command'" ;;
esac
