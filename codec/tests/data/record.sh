#!/usr/bin/env bash
# record.sh: makes the binlog files of this folder anew, with the real servers of scripts/servers.sh.
#
# usage: codec/tests/data/record.sh [NAME...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
servers=$here/../../../scripts/servers.sh
names=${*:-mysql97 mysql57 mysql56 mariadb118 mariadb1011 mariadb105}
work=$(mktemp -d)
chmod 755 "$work"
trap 'for d in "$work"/*/; do "$servers" stop "$d" --wipe >/dev/null 2>&1 || true; done; rm -rf "$work"' EXIT
client=$("$servers" client)

for name in $names; do
  line=$("$servers" start "$name" "$work/$name" 0 --owner $$)
  socket=$(sed -nE 's/.* socket=([^ ]*).*/\1/p' <<<"$line")
  sql() { MYSQL_PWD=cdc "$client" --no-defaults -ucdc --default-character-set=utf8mb4 -S "$socket" "$@"; }
  sql <"$here/common.sql"
  case "$name" in
    mysql97)  sql <"$here/mysql97.sql" ;;
    mysql57)  sql shop <"$here/mysql57.sql" ;;
    mariadb*) sql shop <"$here/mariadb.sql" ;;
  esac
  [ "$name" != mariadb118 ] || sql shop <"$here/mariadb118.sql"
  # Asked before FLUSH: what the file that it closes holds.
  case "$name" in
    mysql*)   sql -N -e 'SELECT @@GLOBAL.gtid_executed' | sed 's/\\n//g' >"$here/$name.gtid.txt" ;;
    mariadb*) sql -N -e 'SELECT @@GLOBAL.gtid_binlog_pos' >"$here/$name.gtid.txt" ;;
  esac
  sql -N -e "SELECT table_name, column_name, column_type, IFNULL(character_set_name, '-'), column_key
             FROM information_schema.columns WHERE table_schema = 'shop' ORDER BY table_name, ordinal_position" >"$here/$name.columns.tsv"
  file=$(sql -N -e 'SHOW BINARY LOGS' | tail -n 1 | cut -f1)
  sql -e 'FLUSH BINARY LOGS'
  sql -N -e "SHOW BINLOG EVENTS IN '$file'" | cut -f2,3,5 >"$here/$name.events.tsv"
  cp "$work/$name/data/$file" "$here/$name.binlog"
  chmod 644 "$here/$name.binlog"
  "$servers" stop "$work/$name" --wipe >/dev/null
  ls -l "$here/$name.binlog" | awk '{print $9, $5}'
done
