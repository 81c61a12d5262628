#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The double of CouchDB does what CouchDB 3 does. First one list of plain requests, against it and against a
# real server (pouchdb-server, or EBB_TEST_COUCHDB) alike; then what only the double is there for. Beside others.
set -u
here=$(dirname "$0")
# shellcheck source=tests/check.bash
. "$here/../check.bash"
# shellcheck source=tests/peers/peers.bash
. "$here/../peers/peers.bash"
need_peer couchdb_double couchdb_double
tmp=$peers_tmp
JSON='Content-Type: application/json'
which=

# call METHOD PATH [BODY [CURL-OPTION...]]: the status, "000" for none; body and headers in files.
call() {
	local method=$1 path=$2 args=()
	[ $# -gt 2 ] && [ -n "$3" ] && args=(--data-binary "$3")
	[ "$method" = HEAD ] && args=(-I)
	[[ $* = *Content-Type:* ]] || args+=(-H "$JSON")
	shift $(($# > 2 ? 3 : 2))
	: >"$tmp/body"
	curl -s -o "$tmp/body" -D "$tmp/headers" -w '%{http_code}' --max-time 20 -X "$method" "${args[@]}" "$@" "$COUCHDB_URL$path"
}
body() { jq -c "$1" "$tmp/body" 2>&1; }
# row NAME STATUS JQ WANT METHOD PATH [BODY [CURL-OPTION...]]: "-" for JQ: the body is not looked at.
row() {
	local name=$which$1 status=$2 jq=$3 want=$4 got
	shift 4
	got=$(call "$@")
	[ "$jq" = - ] || got+=" $(body "$jq")"
	[ "$jq" = - ] || status+=" $want"
	same "$name" "$got" "$status"
}
rev_of() { call GET "$1" >"$tmp/status" && jq -r ._rev "$tmp/body"; }
modes() { control "$COUCHDB" "$1" >"$tmp/control"; }

# --- what both do
plain() {
	local db=/${COUCHDB_PREFIX}plain rev seq
	row db_missing 404 .error '"not_found"' GET "$db"
	row db_missing_head 404 - '' HEAD "$db"
	row db_create 201 .ok true PUT "$db"
	row db_create_again 412 .error '"file_exists"' PUT "$db"
	row db_info 200 '[.db_name,.doc_count]' "[\"${db#/}\",0]" GET "$db"
	row db_listed 200 "index(\"${db#/}\")|type" '"number"' GET /_all_dbs
	row doc_missing 404 '[.error,.reason]' '["not_found","missing"]' GET "$db/a"
	row doc_put 201 '[.ok,.id,(.rev|test("^1-[0-9a-f]{32}$"))]' '[true,"a",true]' PUT "$db/a" '{"v":1,"deep":{"x":[1,2]}}'
	row doc_get 200 'del(._rev)|[.v,.deep,._id]' '[1,{"x":[1,2]},"a"]' GET "$db/a"
	row doc_put_without_rev 409 .error '"conflict"' PUT "$db/a" '{"v":2}'
	rev=$(rev_of "$db/a")
	row doc_put_with_rev 201 '.rev|split("-")[0]' '"2"' PUT "$db/a" "{\"_rev\":\"$rev\",\"v\":2}"
	row doc_put_with_old_rev 409 .error '"conflict"' PUT "$db/a" "{\"_rev\":\"$rev\",\"v\":3}"
	rev=$(rev_of "$db/a")
	row doc_put_rev_in_the_query 201 '.rev|split("-")[0]' '"3"' PUT "$db/a?rev=$rev" '{"v":3}'
	row doc_post 201 .id '"b"' POST "$db" '{"_id":"b","v":1}'
	row doc_post_again 409 .error '"conflict"' POST "$db" '{"_id":"b","v":2}'
	row doc_post_gets_an_id 201 '.id|length>8' true POST "$db" '{"v":5}'
	call DELETE "$db/$(jq -r .id "$tmp/body")?rev=$(jq -r .rev "$tmp/body")" >"$tmp/status"
	row doc_delete 200 '.rev|split("-")[0]' '"2"' DELETE "$db/b?rev=$(rev_of "$db/b")"
	row doc_deleted 404 .error '"not_found"' GET "$db/b"
	row doc_again_after_delete 201 '.rev|split("-")[0]' '"3"' PUT "$db/b" '{"v":7}'
	row doc_broken 400 .error '"bad_request"' PUT "$db/c" '{"v":'
	row local_put 201 .id '"_local/l"' PUT "$db/_local/l" '{"v":1}'
	row local_get 200 '[.v,(._rev|test("^0-1$"))]' '[1,true]' GET "$db/_local/l"
	row bulk 201 '[.[]|[.id,.ok,.error]]' '[["a",null,"conflict"],["n1",true,null],["n2",true,null],["b",null,"conflict"]]' POST "$db/_bulk_docs" \
		'{"docs":[{"_id":"a","v":9},{"_id":"n1","v":1},{"_id":"n2"},{"_id":"b","_rev":"1-00000000000000000000000000000000"}]}'
	row bulk_deletes 201 '[.[]|.ok]' '[true]' POST "$db/_bulk_docs" "{\"docs\":[{\"_id\":\"n2\",\"_rev\":\"$(rev_of "$db/n2")\",\"_deleted\":true}]}"
	row bulk_of_nothing 201 . '[]' POST "$db/_bulk_docs" '{"docs":[]}'
	row bulk_without_docs 400 .error '"bad_request"' POST "$db/_bulk_docs" '{}'
	row all 200 '[.total_rows,[.rows[]|.id]]' '[3,["a","b","n1"]]' GET "$db/_all_docs"
	row all_with_docs 200 '[.rows[]|[.key,.doc.v,.doc._rev==.value.rev]]' '[["a",3,true],["b",7,true],["n1",1,true]]' GET "$db/_all_docs?include_docs=true"
	row all_page 200 '[.total_rows,[.rows[]|.id]]' '[3,["b","n1"]]' GET "$db/_all_docs?limit=2&startkey=%22b%22"
	row all_page_skip 200 '[.rows[]|.id]' '["n1"]' GET "$db/_all_docs?limit=2&startkey=%22b%22&skip=1"
	row all_range 200 '[.rows[]|.id]' '["b"]' GET "$db/_all_docs?startkey=%22aa%22&endkey=%22b%22"
	row all_keys 200 '[.rows[]|[.key,.id,.error,.value.deleted]]' '[["n1","n1",null,null],["zz",null,"not_found",null],["n2","n2",null,true]]' \
		POST "$db/_all_docs" '{"keys":["n1","zz","n2"]}'
	row changes 200 '[.results[]|[.id,.deleted]]|map(select(.[0]|length<3))' '[["a",null],["b",null],["n1",null],["n2",true]]' GET "$db/_changes"
	row changes_with_docs 200 '.results|map(select(.id=="a"))|.[0]|[.doc.v,.doc._rev==.changes[0].rev]' '[3,true]' GET "$db/_changes?include_docs=true"
	call GET "$db/_changes?limit=1" >"$tmp/status"
	seq=$(jq -r '.last_seq|@uri' "$tmp/body")
	call GET "$db/_changes" >"$tmp/status"
	seq=$(jq -r '.last_seq|tostring|@uri' "$tmp/body")
	row changes_of_nothing 200 '.results|length' 0 GET "$db/_changes?since=$seq"
	call PUT "$db/later" '{"v":1}' >"$tmp/status"
	row changes_since 200 '[.results[]|.id]' '["later"]' GET "$db/_changes?since=$seq"
	curl -s -N --max-time 2 "$COUCHDB_URL$db/_changes?feed=continuous&heartbeat=200&include_docs=true&since=$seq" >"$tmp/feed" &
	local feed=$!
	wait_for test -s "$tmp/feed"
	call PUT "$db/live" '{"v":2}' >"$tmp/status"
	wait "$feed"
	same "${which}feed_rows" "$(grep '^{' "$tmp/feed" | jq -c '[.id,.doc.v]' | tr -d '\n')" '["later",1]["live",2]'
	check "${which}feed_beats" grep -q '^$' "$tmp/feed"
	row index_made 200 .result '"created"' POST "$db/_index" '{"index":{"fields":["name"]},"ddoc":"by_name","name":"by_name","type":"json"}'
	row index_is_there 200 .result '"exists"' POST "$db/_index" '{"index":{"fields":["name"]},"ddoc":"by_name","name":"by_name","type":"json"}'
	row index_listed 200 '[.indexes[]|.name]|index("by_name")|type' '"number"' GET "$db/_index"
	row index_is_a_document 200 '.rows|map(select(.id=="_design/by_name"))|length' 1 GET "$db/_all_docs"
	call POST "$db/_bulk_docs" '{"docs":[{"_id":"f1","name":"x","w":1},{"_id":"f2","name":"x","w":2},{"_id":"f3","name":"y","w":1}]}' >"$tmp/status"
	row find 200 '[.docs[]|._id]' '["f1","f2"]' POST "$db/_find" '{"selector":{"name":"x"}}'
	row find_two_fields 200 '[.docs[]|._id]' '["f2"]' POST "$db/_find" '{"selector":{"name":"x","w":{"$eq":2}}}'
	row find_limit 200 '[.docs[]|._id]' '["f1"]' POST "$db/_find" '{"selector":{"name":"x"},"limit":1}'
	row find_nothing 200 .docs '[]' POST "$db/_find" '{"selector":{"name":"z"}}'
	row session 200 .ok true POST /_session "$(jq -nc --arg u "$user" --arg p "$password" '{name:$u,password:$p}')" -c "$tmp/cookies"
	row cookie_holds 200 .userCtx.name "\"$user\"" GET /_session '' -H 'Authorization:' -b "$tmp/cookies"
	row session_wrong_password 401 .error '"unauthorized"' POST /_session "{\"name\":\"$user\",\"password\":\"no such\"}"
	row wrong_password 401 .error '"unauthorized"' GET "$db/a" '' -u "$user:no such"
	row db_drop 200 .ok true DELETE "$db"
	row db_is_gone 404 .error '"not_found"' GET "$db/a"
	row db_create_anew 201 .ok true PUT "$db"
	row db_is_empty 200 .rows '[]' GET "$db/_all_docs"
	row db_drop_in_the_end 200 .ok true DELETE "$db"
}
credentials() {
	user=${COUCHDB_URL#*//}
	user=${user%@*}
	password=${user#*:}
	user=${user%%:*}
}
if [ -n "$("$PEERS/peer" --why couchdb)" ] && [ -z "${EBB_TEST_COUCHDB-}" ]; then
	skip couchdb_plain_requests "no couchdb: $("$PEERS/peer" --why couchdb)"
else
	start_couchdb || exit 1
	credentials
	which=real_
	plain
	drop_couchdb
fi
start_couchdb_double || exit 1
credentials
which=double_
plain
which=

# --- statuses that pouchdb-server does not have
row welcome 200 '[.couchdb,.version]' '["Welcome","3.3.3"]' GET /
row up 200 .status '"ok"' GET /_up '' -H 'Authorization:'
call PUT /d >"$tmp/status"
row bad_name 400 .error '"illegal_database_name"' PUT /Upper
row bad_name_digit 400 .error '"illegal_database_name"' PUT /1a
row drop_nothing 404 .error '"not_found"' DELETE /nothing
row name_with_slash 201 .ok true PUT /a%2Fb
row slash_is_one_name 200 .db_name '"a/b"' GET /a%2Fb
same anonymous_read "$(curl -s -o "$tmp/body" -w '%{http_code}' "$COUCHDB/d/x") $(body .error)" '401 "unauthorized"'
same anonymous_create "$(curl -s -o "$tmp/body" -w '%{http_code}' -X PUT "$COUCHDB/e") $(body .reason)" '401 "You are not a server admin."'
same anonymous_all_dbs "$(curl -s -o "$tmp/body" -w '%{http_code}' "$COUCHDB/_all_dbs") $(body .reason)" '401 "You are not a server admin."'
row user_is_not_let_in 403 '[.error,.reason]' '["forbidden","You are not allowed to access this db."]' GET /d '' -u ebb:ebbpw
row user_makes_no_database 401 .reason '"You are not a server admin."' PUT /e '' -u ebb:ebbpw
row let_in 200 .ok true PUT /d/_security '{"members":{"names":["ebb"]},"admins":{"names":[]}}'
row member_reads 404 .reason '"missing"' GET /d/x '' -u ebb:ebbpw
row member_writes 201 .ok true PUT /d/x '{"v":1}' -u ebb:ebbpw
row member_makes_no_index 403 '[.error,.reason]' '["forbidden","You are not a db or server admin."]' POST /d/_index '{"index":{"fields":["v"]}}' -u ebb:ebbpw
row member_makes_no_design 403 .error '"forbidden"' PUT /d/_design/x '{"language":"query"}' -u ebb:ebbpw
call PUT /d/_security '{"members":{"names":["ebb"]},"admins":{"names":["ebb"]}}' >"$tmp/status"
row db_admin_makes_an_index 200 .result '"created"' POST /d/_index '{"index":{"fields":["v"]}}' -u ebb:ebbpw
modes '{"index_forbidden":"all"}'
row index_forbidden 403 .error '"forbidden"' POST /d/_index '{"index":{"fields":["w"]}}'
modes '{"index_forbidden":false,"require_valid_user":true}'
same valid_user_required "$(curl -s -o "$tmp/body" -w '%{http_code}' "$COUCHDB/") $(body .reason)" '401 "Authentication required."'
modes '{"require_valid_user":false}'
row wrong_method 405 .error '"method_not_allowed"' PUT /d/_all_docs '{}'
check says_what_is_allowed grep -qi '^allow: GET,HEAD,POST' "$tmp/headers"
row not_json 415 '[.error,.reason]' '["bad_content_type","Content-Type must be application/json"]' POST /d '{"a":1}' -H 'Content-Type: text/plain'
row bulk_not_json 415 .error '"bad_content_type"' POST /d/_bulk_docs '{"docs":[]}' -H 'Content-Type: text/plain'
row put_needs_no_type 201 .ok true PUT /d/typeless '{}' -H 'Content-Type: text/plain'
row not_utf8 400 .reason '"invalid UTF-8 JSON"' PUT /d/y "$(printf '{"a":"\377"}')"
row special_member 400 .error '"doc_validation"' PUT /d/y '{"_other":1}'
row array 400 .reason '"Document must be a JSON object"' PUT /d/y '[]'
row reserved_id 400 .error '"illegal_docid"' PUT /d/_what '{}'
row reserved_id_in_bulk 400 .error '"illegal_docid"' POST /d/_bulk_docs '{"docs":[{"_id":"good"},{"_id":"_bad"}]}'
row special_member_refuses_the_whole_bulk 400 .reason '"Bad special document member: _foo"' POST /d/_bulk_docs '{"docs":[{"_id":"good"},{"_id":"b","_foo":1}]}'
row nothing_of_it_is_there 404 .reason '"missing"' GET /d/good
call PUT /d/gone '{}' >"$tmp/status"
row delete_without_rev 409 '[.error,.reason]' '["conflict","Document update conflict."]' DELETE /d/gone
call DELETE "/d/gone?rev=$(jq -r .rev <(curl -s -X POST -H "$JSON" -d '{"keys":["gone"]}' "$COUCHDB_URL/d/_all_docs" | jq '.rows[0].value'))" >"$tmp/status"
row deleted_is_said 404 '[.error,.reason]' '["not_found","deleted"]' GET /d/gone
row offset_of_a_page 200 .offset 1 GET '/d/_all_docs?startkey=%22typ%22&limit=1'
row bad_rev 400 .reason '"Invalid rev format"' PUT /d/x '{"_rev":"x"}'
row rev_of_nothing 409 .error '"conflict"' PUT /d/new '{"_rev":"1-00000000000000000000000000000000"}'
row two_revs 400 .error '"bad_request"' PUT '/d/x?rev=1-a' '{"_rev":"1-b"}'
row if_match_old 409 .error '"conflict"' PUT /d/x '{}' -H 'If-Match: "1-00000000000000000000000000000000"'
row if_match 201 '.rev|split("-")[0]' '"2"' PUT /d/x '{}' -H "If-Match: \"$(rev_of /d/x)\""
row not_modified 304 - '' GET /d/x '' -H "If-None-Match: \"$(rev_of /d/x)\""
row twice_in_one_bulk 201 '[.[]|.error]' '[null,"conflict"]' POST /d/_bulk_docs '{"docs":[{"_id":"t","v":1},{"_id":"t","v":2}]}'
modes '{"max_document_size":100}'
row too_large 413 .error '"document_too_large"' PUT /d/large "{\"v\":\"$(head -c 200 /dev/zero | tr '\0' x)\"}"
modes '{"max_document_size":8000000}'
row startkey_is_json 400 .error '"bad_request"' GET '/d/_all_docs?startkey=abc'
row find_operator 400 '[.error,.reason]' '["invalid_operator","Invalid operator: $in"]' POST /d/_find '{"selector":{"v":{"$in":[1]}}}'
row find_without_selector 400 .error '"missing_required_key"' POST /d/_find '{}'
row find_without_index 200 '.warning|type' '"string"' POST /d/_find '{"selector":{"other":1}}'
call POST /d/_bulk_docs '{"docs":[{"_id":"p1","v":9},{"_id":"p2","v":9},{"_id":"p3","v":9}]}' >"$tmp/status"
row find_first_page 200 '[.docs[]|._id]' '["p1","p2"]' POST /d/_find '{"selector":{"v":9},"limit":2}'
row find_next_page 200 '[.docs[]|._id]' '["p3"]' POST /d/_find "{\"selector\":{\"v\":9},\"limit\":2,\"bookmark\":$(body .bookmark)}"
row attachment 201 .ok true PUT /d/att '{"v":1,"_attachments":{"f.txt":{"content_type":"text/plain","data":"aGVsbG8="}}}'
row attachment_is_a_stub 200 '._attachments["f.txt"]|[.stub,.length,.revpos]' '[true,5,1]' GET /d/att
row attachment_stays_with_its_stub 201 .ok true PUT /d/att "$(jq -c '.v=2' "$tmp/body")"
row attachment_is_still_there 200 '[.v,._attachments["f.txt"].revpos]' '[2,1]' GET /d/att
row stub_of_nothing 412 .error '"missing_stub"' PUT /d/att "$(jq -c '._attachments.other={stub:true}' "$tmp/body")"
row attachment_goes_without 201 .ok true PUT /d/att "{\"_rev\":\"$(rev_of /d/att)\"}"
row attachment_is_gone 200 '._attachments' null GET /d/att

# --- sequences
call GET /d/_changes >"$tmp/status"
seq=$(jq -r .last_seq "$tmp/body")
check seq_is_opaque grep -qE '^[0-9]+-g1AAAA.{20,}$' <<<"$seq"
row seq_that_is_a_number 400 .error '"bad_request"' GET '/d/_changes?since=3'
row seq_that_is_forged 400 .error '"bad_request"' GET "/d/_changes?since=9${seq#*-}"
row seq_zero 200 '.results|length>5' true GET '/d/_changes?since=0'
row seq_now 200 .results '[]' GET '/d/_changes?since=now'
row seq_quoted 200 .results '[]' GET "/d/_changes?since=%22$seq%22"
call DELETE /d >"$tmp/status"
call PUT /d >"$tmp/status"
call PUT /d/one '{}' >"$tmp/status"
row seq_of_the_one_before_begins_anew 200 '[.results[]|.id]' '["one"]' GET "/d/_changes?since=$seq"
row longpoll_answers_at_once 200 '[.results[]|.id]' '["one"]' GET '/d/_changes?feed=longpoll'
same longpoll_times_out "$(call GET '/d/_changes?feed=longpoll&since=now&timeout=100') $(body .results)" '200 []'
same continuous_times_out "$(call GET '/d/_changes?feed=continuous&since=now&timeout=100') $(jq -c 'keys' "$tmp/body")" '200 ["last_seq","pending"]'
row zero_heartbeat 400 .error '"bad_request"' GET '/d/_changes?feed=continuous&heartbeat=0'

# feed [QUERY]: a continuous one, into a file, until it ends
feed() { curl -s -N --max-time 20 "$COUCHDB_URL/d/_changes?feed=continuous&heartbeat=100${1-}" >"$tmp/feed"; }
counter() { curl -s "$COUCHDB/control" | jq -c ".counters.$1"; }
open_feeds() { [ "$(counter feeds_open)" = "$1" ]; }
modes '{"cut_feed":40,"cut_feed_times":1}'
feed
same cut_feed "$? $(wc -c <"$tmp/feed") $(wc -l <"$tmp/feed")" '18 40 0'
feed '&timeout=1' &
pid=$!
check only_one_was_cut wait_for grep -q '"one"' "$tmp/feed"
same open_feeds_are_counted "$(counter feeds_open)" 1
modes '{"drop_feeds":true}'
wait $pid
check dropped_feed_is_gone open_feeds 0
feed '&since=now' &
pid=$!
check feed_is_open wait_for open_feeds 1
call DELETE /d >"$tmp/status"
wait $pid
same feed_of_a_deleted_database_ends $? 0
call PUT /d >"$tmp/status"
feed '&since=now' &
pid=$!
check feed_is_open_again wait_for open_feeds 1
modes '{"mute":true}'
sleep 0.15
size=$(wc -c <"$tmp/feed")
call PUT /d/unheard '{}' >"$tmp/status"
sleep 0.3
same mute_feed_says_nothing "$(wc -c <"$tmp/feed") $(counter feeds_open)" "$size 1"
modes '{"mute":false,"drop_feeds":true}'
wait $pid
modes '{"slow":true}'
row slow_bytes 200 .db_name '"d"' GET /d
modes '{"slow":false}'

# --- how it can fail
modes '{"fail":429,"retry_after":3,"fail_next":1}'
row fail_429 429 .error '"too_many_requests"' GET /d
check says_when grep -qi '^retry-after: 3' "$tmp/headers"
modes '{"retry_after":null}'
row fails_once_only 200 .db_name '"d"' GET /d
modes '{"fail":500,"fail_path":"_bulk_docs"}'
row fail_500 500 .error '"internal_server_error"' POST /d/_bulk_docs '{"docs":[]}'
row fails_there_only 200 .db_name '"d"' GET /d
modes '{"fail":"close","fail_path":""}'
row fail_close 000 - '' GET /d
modes '{"fail":"lost","fail_next":1}'
row fail_lost 000 - '' PUT /d/lost '{"v":1}'
row lost_was_done 200 .v 1 GET /d/lost
modes '{"fail":"hang","fail_next":1}'
row fail_hang 000 - '' GET /d '' --max-time 0.3
modes '{"disk_full":true}'
row disk_full_put 507 .error '"insufficient_storage"' PUT /d/full '{}'
row disk_full_bulk 201 '[.[]|[.id,.ok,.error]]' '[["f",null,"insufficient_storage"]]' POST /d/_bulk_docs '{"docs":[{"_id":"f"}]}'
row disk_full_reads 200 .v 1 GET /d/lost
modes '{"disk_full":507}'
row disk_full_507 507 .error '"insufficient_storage"' POST /d/_bulk_docs '{"docs":[{"_id":"f"}]}'
modes '{"disk_full":500}'
row disk_full_500 500 .reason '"enospc"' POST /d/_bulk_docs '{"docs":[{"_id":"f"}]}'
modes '{"disk_full":null}'
row nothing_was_written 404 .reason '"missing"' GET /d/f
same unknown_mode "$(curl -s -o "$tmp/body" -w '%{http_code}' -d '{"nonsense":1}' "$COUCHDB/control")" 400

# --- cookies
with_cookie() { curl -s -o "$tmp/body" -D "$tmp/headers" -w '%{http_code}' -b "$tmp/cookies" "$COUCHDB$1"; }
call POST /_session 'name=admin&password=adminpw' -H 'Content-Type: application/x-www-form-urlencoded' -H 'Authorization:' -c "$tmp/cookies" >"$tmp/status"
same cookie "$(with_cookie /d) $(grep -ci '^set-cookie' "$tmp/headers")" '200 0'
modes '{"expire_cookies":true}'
same cookie_expired "$(with_cookie /d) $(body .error)" '401 "unauthorized"'
modes '{"cookie_timeout":2}'
call POST /_session '{"name":"admin","password":"adminpw"}' -H 'Authorization:' -c "$tmp/cookies" >"$tmp/status"
sleep 1.1
same cookie_is_renewed "$(with_cookie /d) $(grep -ci '^set-cookie: AuthSession=' "$tmp/headers")" '200 1'
sleep 1.2
same cookie_times_out "$(with_cookie /d)" 401
same cookie_malformed "$(curl -s -o "$tmp/body" -w '%{http_code}' -b AuthSession=xyz "$COUCHDB/d") $(body .error)" '400 "bad_request"'

# --- a kill
before=$(curl -s "$COUCHDB_URL/d/_all_docs?include_docs=true")
for i in 1 2 3; do
	call PUT "/d/kept$i" "{\"v\":$i}" >"$tmp/status"
	restart_couchdb_double
	row "kept_over_a_kill_$i" 200 .v "$i" GET "/d/kept$i"
done
same all_is_kept "$(curl -s "$COUCHDB_URL/d/_all_docs?include_docs=true" | jq -c '[.rows[]|select(.id|test("^kept")|not)]')" "$(jq -c .rows <<<"$before")"
kill_couchdb_double
printf '[{"op":"doc","db":"d","seq":99,"doc":{"id":"torn"' >>"${PEER_DIR[couchdb_double]}/journal"
restart_couchdb_double
row torn_write_is_none 404 .reason '"missing"' GET /d/torn
row goes_on_after_it 201 .ok true PUT /d/after '{}'

# --- TLS
start_couchdb_double tls=true
same tls "$(curl -s -o "$tmp/body" -w '%{http_code}' --cacert "${PEER_DIR[couchdb_double]}/ca.pem" "$COUCHDB_URL/")" 200
curl -s -o "$tmp/body" "$COUCHDB_URL/"
same tls_of_an_unknown_ca $? 60
exit $failed
