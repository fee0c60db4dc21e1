#!/bin/bash
. "$(dirname "$0")/../lib.sh"
# A PostgreSQL database in LATIN1 (the default of an old cluster): accepted at start, then no offer can be recorded.
# Held by `server::postgres::tests::a_database_of_another_encoding_is_refused_by_its_name`.
PGB=${PGB:-$(ls -d /usr/lib/postgresql/*/bin | tail -1)}; [ -x $PGB/initdb ] && [ $(id -u) = 0 ] || skip "needs postgresql and root"
chmod 755 "$W"; install -d -o postgres pg; as() { setpriv --reuid=postgres --regid=postgres --clear-groups env LC_ALL=C "$@"; }
as $PGB/initdb -D pg/d -A trust -E UTF8 --no-locale -N >pg.log || exit 2
as $PGB/pg_ctl -D pg/d -w -o "-p 8393 -h 127.0.0.1 -k \"\"" -l pg/log start >/dev/null || exit 2; S=
trap '[ -n "$S" ] && kill $S && wait $S; as $PGB/pg_ctl -D pg/d -m immediate stop >/dev/null; rm -rf "$W"' EXIT
as $PGB/createdb -h 127.0.0.1 -p 8393 -T template0 -E LATIN1 --locale=C l1
fleet "{ stable: 0.10.66 }"; otapress build >log 2>&1 || exit 2
otapress serve --no-build --listen 127.0.0.1:18393 -s postgres://postgres@127.0.0.1:8393/l1 >s.log 2>&1 & S=$!; sleep 2
kill -0 $S 2>/dev/null || { cat s.log; S=; fine "refused at start"; }
post() { curl -sS -m 10 -A "$1" --data-binary "$3" -w " %{http_code}\n" "http://127.0.0.1:18393$2"; }
r=$(post GW/$(imei 2) /otap/version 0.10.65); echo "$r"; tail -1 s.log
case $r in *'"upgrade":1'*) fine "offered";; esac; fault "no device is ever offered anything"
