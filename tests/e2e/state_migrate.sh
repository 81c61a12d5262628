#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ebb migrate between SQLite files and a real CouchDB server: both ways, every document the same. Beside others.
. "$(dirname "$0")/controller.bash"
. "$(dirname "$0")/../peers/peers.bash"
command -v sqlite3 >/dev/null || { skip state_migrate "sqlite3 is not installed"; finish; }
need_peer couchdb state_migrate

# Everything in a file, sorted; numbers as JavaScript writes them, without what is CouchDB's own.
plain='{key, body: (.body | with_entries(select(.key | startswith("_") | not)))}'
dump_file() {
	sqlite3 "$1" "SELECT json_object('key', db || '/' || id, 'body', json(body)) FROM documents" |
		jq -cS "$plain" | LC_ALL=C sort
}
# Everything in the CouchDB, likewise.
dump_couchdb() {
	local db
	for db in events limits requests rules services structures users; do
		curl -s "$COUCHDB_STATE${db}/_all_docs?include_docs=true" |
			jq -cS --arg db "$db" '.rows[].doc | select(._id | startswith("_design/") | not)
				| {key: ($db + "/" + (if $db == "events" or $db == "requests" then ._id else .name end)), body: .}' |
			jq -cS "$plain"
	done | LC_ALL=C sort
}
databases() { curl -s "$COUCHDB_URL/_all_dbs" | jq -r '.[]' | grep -c "^$COUCHDB_PREFIX"; }

# --- something to copy
start_controller || { not_ok controller_starts; finish; }
same registers "$(register)" 200
ctl PUT /structure/c0/guard >/dev/null
ctl PUT /structure/c0/resources/cpu/weight '{"value": 1.5}' >/dev/null
same is_in_use "$(ebb migrate "sqlite:$TMP/state.db" "sqlite:$TMP/other.db") $(err | grep -c 'in use by another controller')" "1 1"
stop_controller
sqlite3 "$TMP/state.db" "INSERT INTO documents VALUES
	('users', 'ann', '{\"type\":\"user\",\"name\":\"ann\",\"clusters\":[\"app1\"],\"odd ✓\":{\"a\":[1,2.5,null,\"x\"]}}'),
	('events', 'e1', '{\"type\":\"event\",\"name\":\"CpuBottleneck\",\"structure\":\"c0\",\"timestamp\":1795344748}'),
	('structures', 'c/0 €', '{\"type\":\"structure\",\"subtype\":\"container\",\"name\":\"c/0 €\",\"host\":\"h9\",\"resources\":{}}')"
dump_file "$TMP/state.db" >"$TMP/want"
check there_is_something grep -qF '"key":"structures/c0"' "$TMP/want"

# --- what is refused
start_couchdb || { not_ok couchdb_starts; finish; }
same usage "$(ebb migrate "sqlite:$TMP/state.db")" 2
same usage_of_same "$(ebb migrate "sqlite:$TMP/state.db" "sqlite:$TMP/state.db")" 2
same usage_of_both "$(ebb migrate --merge --force sqlite:a sqlite:b)" 2
same unknown_scheme "$(ebb migrate "sqlite:$TMP/state.db" mysql:x) $(err | grep -c 'give sqlite:PATH')" "1 1"
same no_such_file "$(ebb migrate "sqlite:$TMP/none.db" "$COUCHDB_STATE") $(err | grep -c 'there is no state at')" "1 1"
check no_such_file_is_made test ! -e "$TMP/none.db"
same no_such_database "$(ebb migrate "$COUCHDB_STATE" "sqlite:$TMP/other.db") $(err | grep -c 'there is no state at')" "1 1"
same none_is_made "$(databases)" 0
check no_file_is_made_either test ! -e "$TMP/other.db"
wrong=${COUCHDB_STATE/adminpw/hunter2}
if couchdb_is_ours; then
	same wrong_password "$(ebb migrate "sqlite:$TMP/state.db" "$wrong") $(err | wc -l) $(err | grep -c hunter2)" "1 1 0"
fi
same nobody_there "$(ebb migrate "sqlite:$TMP/state.db" http://admin:hunter2@127.0.0.1:1/) $(err | wc -l) $(err | grep -c hunter2)" "1 1 0"

# --- there and back
same dry_run "$(ebb migrate --dry-run "sqlite:$TMP/state.db" "$COUCHDB_STATE") $(databases)" "0 0"
same dry_run_counts "$(awk '$1 == "users" {print $2, $3, $4}' "$TMP/out")" "1 0 0"
same copies "$(ebb migrate "sqlite:$TMP/state.db" "$COUCHDB_STATE") $(err | grep -c '^structures: ')" "0 1"
same all_are_there "$(dump_couchdb | diff - "$TMP/want" && echo same)" same
same is_not_empty "$(ebb migrate "sqlite:$TMP/state.db" "$COUCHDB_STATE") $(err | grep -c 'is not empty, it has .* structures.*--merge')" "1 1"
same back "$(ebb migrate "$COUCHDB_STATE" "sqlite:$TMP/back.db")" 0
same byte_for_byte "$(diff <(dump_file "$TMP/back.db") "$TMP/want" && echo same)" same
same file_to_file "$(ebb migrate "sqlite:$TMP/back.db" "sqlite:$TMP/third.db")" 0
same file_to_file_is_exact "$(sqlite3 "$TMP/third.db" 'SELECT * FROM documents ORDER BY db, id' | cksum)" \
	"$(sqlite3 "$TMP/back.db" 'SELECT * FROM documents ORDER BY db, id' | cksum)"

# --- over what is there
sqlite3 "$TMP/back.db" "DELETE FROM documents WHERE id = 'ann'"
sqlite3 "$TMP/back.db" "UPDATE documents SET body = json_set(body, '\$.note', 'new') WHERE id = 'c1' AND db = 'structures'"
same merges "$(ebb migrate --merge "sqlite:$TMP/back.db" "$COUCHDB_STATE") $(awk '$1 == "structures" {print $2, $4}' "$TMP/out")" "0 1 0"
check merge_keeps_the_rest grep -qF '"key":"users/ann"' <(dump_couchdb)
check merge_writes_over grep -q '"note":"new".*"key":"structures/c1"' <(dump_couchdb)
same forces "$(ebb migrate --force "sqlite:$TMP/back.db" "$COUCHDB_STATE") $(awk '$1 == "users" {print $2, $4}' "$TMP/out")" "0 0 1"
same force_is_exact "$(dump_couchdb | diff - <(dump_file "$TMP/back.db") && echo same)" same

# --- documents that others made: without a name, two of one name, with attachments
put() { curl -s -X PUT -H "Content-Type: ${3:-application/json}" "$COUCHDB_STATE$1" --data-binary "$2" | jq -r .rev; }
row() { sqlite3 "$1" "SELECT json_extract(body, '\$.note') FROM documents WHERE db = 'structures' AND id = '$2'"; }
rev=$(put structures/nameless '{"type":"structure","note":"no name"}')
put structures/~_odd '{"type":"structure","note":"odd"}' >/dev/null
same nameless_are_copied "$(ebb migrate "$COUCHDB_STATE" "sqlite:$TMP/nameless.db") $(row "$TMP/nameless.db" nameless) $(row "$TMP/nameless.db" _odd)" \
	"0 no name odd"
same nameless_are_known "$(ebb migrate --force "sqlite:$TMP/nameless.db" "$COUCHDB_STATE") $(awk '{n += $2 + $4} END {print n}' "$TMP/out")" "0 0"
twin=$(put structures/twin-of-c1 '{"type":"structure","name":"c1","note":"twin"}')
same twin_is_said "$(ebb migrate "$COUCHDB_STATE" "sqlite:$TMP/twin.db") $(err | grep -c 'structures twin-of-c1 .*c1.* rename') $(row "$TMP/twin.db" c1)" "1 1 new"
same twin_there_is_said_by_force "$(ebb migrate --force "sqlite:$TMP/twin.db" "$COUCHDB_STATE") $(err | grep -c 'structures twin-of-c1 ')" "1 1"
curl -s -X DELETE "${COUCHDB_STATE}structures/twin-of-c1?rev=$twin" >/dev/null
put "structures/nameless/logo.txt?rev=$rev" logo text/plain >/dev/null
same attachments_are_said "$(ebb migrate "$COUCHDB_STATE" "sqlite:$TMP/attached.db") $(err | grep -c 'structures nameless .*logo.txt')" "1 1"
same attached_ones_are_copied "$(row "$TMP/attached.db" nameless)" "no name"
same attachments_are_said_before "$(ebb migrate --dry-run --merge "$COUCHDB_STATE" "sqlite:$TMP/attached.db") $(err | grep -c 'structures nameless .*logo.txt')" "1 1"
sqlite3 "$TMP/attached.db" "UPDATE documents SET body = json_set(body, '\$.note', 'here') WHERE id = 'nameless'"
same attachments_there_stay "$(ebb migrate --merge "sqlite:$TMP/attached.db" "$COUCHDB_STATE") $(curl -s "${COUCHDB_STATE}structures/nameless/logo.txt") $(curl -s "${COUCHDB_STATE}structures/nameless" | jq -r .note)" \
	"0 logo here"
for id in nameless ~_odd; do
	rev=$(curl -s "${COUCHDB_STATE}structures/$id" | jq -r ._rev)
	curl -s -X DELETE "${COUCHDB_STATE}structures/$id?rev=$rev" >/dev/null
done

# --- credentials from a file, and none of them in `ps`
if couchdb_is_ours; then
	(umask 077 && echo admin:adminpw >"$TMP/credentials")
	same from_a_file "$(ebb migrate --state-credentials "$TMP/credentials" --state-auth cookie "$COUCHDB/$COUCHDB_PREFIX" "sqlite:$TMP/cookie.db")" 0
	same from_a_file_all "$(diff <(dump_file "$TMP/cookie.db") <(dump_file "$TMP/back.db") && echo same)" same
fi

# --- a controller leads on it
start_controller --state "$COUCHDB_STATE" || not_ok controller_on_couchdb
leads() { [ "$(curl -s "$COUCHDB_STATE"services/ebb_leader | jq -r .holder)" = "$CONTROLLER_ADDRESS" ]; }
if wait_for leads; then ok leads; else not_ok leads; fi
same led_is_refused "$(ebb migrate --force "sqlite:$TMP/back.db" "$COUCHDB_STATE") $(err | grep -cF "$CONTROLLER_ADDRESS")" "1 1"
same led_may_be_read "$(ebb migrate "$COUCHDB_STATE" "sqlite:$TMP/live.db") $(err | grep -c 'is at work on')" "0 1"
stop_controller
same left_is_free "$(ebb migrate --merge "sqlite:$TMP/back.db" "$COUCHDB_STATE")" 0
finish
