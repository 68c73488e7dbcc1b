#!/usr/bin/env bash
# record.sh: makes the files of this folder anew, with the real servers of scripts/servers.sh: NAME.binlog, a binlog
# file of that server, NAME.columns.tsv, the columns of its tables, and NAME.values.tsv, what SELECT says of each value
# at the end: table, id, column, and the text in hexadecimal, NULL, or '#' and the SHA-256 of a text over 300 bytes.
# Binary values count as the text of their hexadecimal form.
#
# usage: codec/tests/data/values/record.sh [NAME...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
servers=$here/../../../../scripts/servers.sh
names=${*:-mysql97 mysql57 mysql56 mariadb118 mariadb1011 mariadb105}
work=$(mktemp -d)
chmod 755 "$work"
trap 'for d in "$work"/*/; do "$servers" stop "$d" --wipe >/dev/null 2>&1 || true; done; rm -rf "$work"' EXIT
client=$("$servers" client)

for name in $names; do
  line=$("$servers" start "$name" "$work/$name" 0 --owner $$)
  socket=$(sed -nE 's/.* socket=([^ ]*).*/\1/p' <<<"$line")
  sql() { MYSQL_PWD=cdc "$client" --no-defaults --binary-mode -ucdc --default-character-set=utf8mb4 -S "$socket" "$@"; }
  files=common.sql
  case "$name" in
    mysql97)     files="common.sql json.sql mysql97.sql" ;;
    mysql57)     files="common.sql json.sql" ;;
    mariadb105)  files="common.sql mariadb.sql" ;;
    mariadb1011) files="common.sql mariadb.sql mariadb1011.sql" ;;
    mariadb118)  files="common.sql mariadb.sql mariadb1011.sql mariadb118.sql" ;;
  esac
  for file in $files; do
    # Later files go on in the session of the first: they use its modes.
    cat "$here/$file"
  done | sql
  sql -N -e "SELECT table_name, column_name, column_type, IFNULL(character_set_name, '-')
             FROM information_schema.columns WHERE table_schema = 'v' ORDER BY table_name, ordinal_position" >"$here/$name.columns.tsv"
  sql -N -r -e "SELECT CONCAT('SELECT ''', table_name, ''', id, ''', column_name, ''', IF(LENGTH(x) > 300, CONCAT(''#'', SHA2(x, 256)), HEX(x)) FROM (SELECT id, ', CASE
      WHEN data_type IN ('bit', 'enum', 'set') THEN CONCAT('CAST(CAST(\`', column_name, '\` AS UNSIGNED) AS CHAR)')
      WHEN data_type IN ('float', 'double') THEN CONCAT('CAST(\`', column_name, '\` + 0e0 AS CHAR)')
      WHEN data_type = 'json' THEN CONCAT('CONVERT(CAST(\`', column_name, '\` AS CHAR) USING utf8mb4)')
      WHEN data_type LIKE '%binary' OR data_type LIKE '%blob' OR data_type IN ('geometry', 'vector') THEN CONCAT('HEX(\`', column_name, '\`)')
      WHEN data_type LIKE '%char' OR data_type LIKE '%text' THEN CONCAT('CONVERT(\`', column_name, '\` USING utf8mb4)')
      ELSE CONCAT('TRIM(CONCAT(\`', column_name, '\`, '' ''))') END, ' AS x FROM v.\`', table_name, '\` ORDER BY id) t;')
    FROM information_schema.columns WHERE table_schema = 'v' AND column_name <> 'id' ORDER BY table_name, ordinal_position" >"$work/select.sql"
  { echo "SET time_zone = '+00:00';"; cat "$work/select.sql"; } | sql -N >"$here/$name.values.tsv"
  file=$(sql -N -e 'SHOW BINARY LOGS' | tail -n 1 | cut -f1)
  sql -e 'FLUSH BINARY LOGS'
  cp "$work/$name/data/$file" "$here/$name.binlog"
  chmod 644 "$here/$name.binlog"
  "$servers" stop "$work/$name" --wipe >/dev/null
  wc -c "$here/$name.binlog" "$here/$name.values.tsv" | head -2
done
