#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tools of the original subscribe a host and containers in CouchDB while the controller runs, change
# them and take them out again; an ebb-agent that feeds nobody plays the Container Scaler.
. "$(dirname "$0")/loop.bash"
. "$(dirname "$0")/../peers/peers.bash"
need_cgroups mixed_couchdb
need_peer opentsdb_double mixed_couchdb
need_peer couchdb mixed_couchdb
trap 'end_of_peers; loop_cleanup' EXIT

# start_controller of loop.bash keeps its state in a file.
start_on_couchdb() {
	start_controller --state "$COUCHDB_STATE" --opentsdb "$OPENTSDB" --spool none
}
couch() { # METHOD DB[/PATH] [BODY]
	local args=(-s -X "$1" -H 'Content-Type: application/json')
	[ $# -gt 2 ] && args+=(--data-binary "$3")
	curl "${args[@]}" "$COUCHDB_STATE$2"
}
document() { couch POST "$1/_find" "{\"selector\":{\"name\":\"$2\"},\"limit\":1}" | jq -c '.docs[0]'; }
# subscribe DB BODY: as the original's client does, under an id of CouchDB's making.
subscribe() { couch POST "$1" "$2" | jq -e .ok >/dev/null; }
# change DB NAME JQ: reads, changes and writes until nobody was in between.
change() {
	local doc
	for _ in 1 2 3 4 5 6 7 8; do
		doc=$(document "$1" "$2" | jq -c "$3")
		couch POST "$1" "$doc" | jq -e .ok >/dev/null && return
	done
	return 1
}
desubscribe() {
	local doc
	for _ in 1 2 3 4 5 6 7 8; do
		doc=$(document "$1" "$2")
		couch DELETE "$1/$(jq -r ._id <<<"$doc")?rev=$(jq -r ._rev <<<"$doc")" | jq -e .ok >/dev/null && return
	done
	return 1
}
put_point() { # what it used in the second before
	curl -s -o /dev/null -H 'Content-Type: application/json' "$OPENTSDB/api/put" --data-binary "$(jq -n -c --arg host "$1" '[
		("proc.cpu.user", "proc.cpu.kernel", "proc.mem.resident") |
		{metric: ., timestamp: (now | floor), value: 10, tags: {host: $host, pid: "1", command: "x"}}]')"
}
has_data() { put_point web; [ "$(ask GET '/structure/web?live' | jq '.live.resources.cpu.usage')" = 20 ]; }
feed_is() { [ "$(ask GET "/structure/$HOST?live" | jq -r '.feed_in_use + " " + (.live.connected | tostring)')" = "$1 true" ]; }
resource_is() { [ "$(resource "$1" "$2" "$3")" = "$4" ]; }
in_couchdb() { [ "$(document "$1" "$2" | jq -r "$3")" = "$4" ]; }
has_no_structure() { ! has_structure "$1"; }

make_cgroup web
start_agent || { not_ok agent_starts; finish; }
check the_container_scaler_knows_it wait_for knows web
same a_limit_is_set "$(api PUT /container/web '{"cpu":{"cpu_allowance_limit":"50","cpu_num":"0"},"mem":{"mem_limit":"256"}}')" 201
start_couchdb || { not_ok couchdb_starts; finish; }
start_opentsdb_double || { not_ok opentsdb_starts; finish; }
start_on_couchdb || { not_ok controller_starts; finish; }
ask PUT /service/guardian/FEED_GRACE '{"value":"0"}' >/dev/null
ask PUT /service/structures_snapshoter/POLLING_FREQUENCY '{"value":"1"}' >/dev/null

check subscribe_the_container subscribe structures "{\"type\":\"structure\",\"subtype\":\"container\",\"name\":\"web\",\"guard\":true,\"host\":\"$HOST\",
	\"host_rescaler_ip\":\"${ADDRESS%:*}\",\"host_rescaler_port\":\"${ADDRESS##*:}\",\"resources\":{
	\"cpu\":{\"max\":100,\"current\":50,\"min\":50,\"guard\":true,\"weight\":1.0},\"mem\":{\"max\":256,\"current\":256,\"min\":64,\"guard\":false}}}"
check subscribe_its_limits subscribe limits '{"type":"limit","name":"web","resources":{
	"cpu":{"boundary":10,"boundary_type":"percentage_of_max"},"mem":{"boundary":10,"boundary_type":"percentage_of_max"}}}'
check subscribe_the_host subscribe structures "{\"type\":\"structure\",\"subtype\":\"host\",\"name\":\"$HOST\",\"host\":\"$HOST\",\"window_delay\":1,\"rack\":\"r7\",
	\"host_rescaler_ip\":\"${ADDRESS%:*}\",\"host_rescaler_port\":\"${ADDRESS##*:}\",\"resources\":{
	\"cpu\":{\"max\":100,\"free\":50,\"core_usage_mapping\":{\"0\":{\"web\":50,\"free\":50}}},\"mem\":{\"max\":1024,\"free\":768}}}"
check the_host_is_fed_from_opentsdb wait_long feed_is opentsdb
check its_container_is_measured wait_long has_data
same its_limit_is_on_record "$(resource web cpu current) $(resource web mem current)" "50 256"
check adds_up wait_for adds_up
check the_database_tells_the_feed wait_for in_couchdb structures "$HOST" .feed_in_use opentsdb
check other_fields_stay in_couchdb structures "$HOST" .rack r7

# A limit set through the Container Scaler by another tool, of what is not guarded: that is `current`.
same memory_is_changed_elsewhere "$(api PUT /container/web '{"mem":{"mem_limit":"200"}}')" 201
check it_becomes_current wait_long resource_is web mem current 200
check also_in_the_database wait_for in_couchdb structures web .resources.mem.current 200

# The operator edits documents.
check change_the_max change structures web '.resources.mem.max = 300'
check the_max_is_taken wait_for resource_is web mem max 300
check say_local change structures "$HOST" '.feed = "local"'
waits_for_its_agent() { [ "$(ask GET "/structure/$HOST?live" | jq -c '[.feed_in_use, .live.connected]')" = '["local",false]' ]; }
check nobody_is_asked_then wait_long waits_for_its_agent
check say_auto change structures "$HOST" '.feed = "auto"'
check opentsdb_again wait_long feed_is opentsdb

# The controller is killed: the next one goes on, with no wait for an agent that never was.
kill_controller KILL
start_on_couchdb || not_ok controller_starts_again
check it_goes_on wait_long feed_is opentsdb
check it_measures_again wait_long has_data
check adds_up_again wait_for adds_up

check desubscribe_the_container desubscribe structures web
check it_is_let_go wait_long has_no_structure web
free_is() { [ "$(ask GET "/structure/$HOST" | jq .resources.cpu.free)" = "$1" ]; }
check its_shares_are_free wait_for free_is 100
check desubscribe_the_host desubscribe structures "$HOST"
check it_is_let_go_too wait_long has_no_structure "$HOST"
same the_limit_in_force_stays "$(quota web)" 50
kill_controller TERM
same controller_ends_cleanly $? 0
finish
