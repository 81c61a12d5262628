#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A host as the original leaves it: documents, BDWatchdog's points in OpenTSDB, a Container Scaler. An
# ebb-agent that feeds nobody plays the latter, whose API it has; the points are what the cgroup really used.
. "$(dirname "$0")/loop.bash"
. "$(dirname "$0")/../peers/peers.bash"
need_cgroups mixed_site
need_peer opentsdb_double mixed_site
command -v sqlite3 >/dev/null || { skip mixed_site "needs sqlite3, to write documents"; exit 0; }
cores=$(nproc)
[ "$cores" -gt 2 ] && cores=2
FEEDER=

# --- BDWatchdog: two processes' worth of points of what "web" used, every second
# cpu_ticks NAME: user and system time, in hundredths of a second.
cpu_ticks() {
	local d
	d=$(cg cpuacct "$1")
	if [ -f "$d/cpuacct.stat" ]; then
		tr '\n' ' ' <"$d/cpuacct.stat" | awk '{print $2, $4}'
	else
		awk '$1 == "user_usec" {u = $2} $1 == "system_usec" {s = $2} END {print int(u / 10000), int(s / 10000)}' "$d/cpu.stat"
	fi
}
points() { # NAME TIME USER KERNEL: halves of it, of two processes
	jq -n -c --arg host "$1" --argjson at "$2" --argjson user "$3" --argjson kernel "$4" '[
		("1", "2") as $pid |
		["proc.cpu.user", $user / 2], ["proc.cpu.kernel", $kernel / 2], ["proc.mem.resident", 20] |
		{metric: .[0], timestamp: $at, value: .[1], tags: {host: $host, pid: $pid, command: "load"}}]'
}
put_points() { # NAME
	local user kernel before_user before_kernel now before=0 ms
	while read -r user kernel < <(cpu_ticks "$1"); do
		now=$(date +%s%3N)
		ms=$((now - before))
		if [ "$before" -gt 0 ]; then
			points "$1" $((now / 1000)) $(((user - before_user) * 1000 / ms)) $(((kernel - before_kernel) * 1000 / ms)) |
				curl -s -o /dev/null -H 'Content-Type: application/json' --data-binary @- "$OPENTSDB/api/put"
		fi
		before=$now before_user=$user before_kernel=$kernel
		sleep 1
	done
}
stop_feeder() { [ -n "$FEEDER" ] && kill "$FEEDER" 2>/dev/null && wait "$FEEDER" 2>/dev/null; }
trap 'stop_feeder; end_of_peers; loop_cleanup' EXIT

# --- the documents, as the original's Orchestrator writes them
put_document() { # DB ID BODY
	sqlite3 "$TMP/state/state.db" "INSERT OR REPLACE INTO documents (db, id, body) VALUES ('$1', '$2', '$3')"
}
put_container() { # NAME GUARD CPU
	put_document structures "$1" "{\"type\":\"structure\",\"subtype\":\"container\",\"name\":\"$1\",\"guard\":$2,\"host\":\"$HOST\",
		\"host_rescaler_ip\":\"${ADDRESS%:*}\",\"host_rescaler_port\":\"${ADDRESS##*:}\",\"resources\":{
		\"cpu\":{\"max\":$((cores * 100)),\"current\":$3,\"min\":20,\"guard\":true},\"mem\":{\"max\":512,\"current\":256,\"min\":64,\"guard\":false}}}"
	put_document limits "$1" "{\"type\":\"limit\",\"name\":\"$1\",\"resources\":{
		\"cpu\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"},\"mem\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"}}}"
}
put_documents() {
	local map='"0":{"web":50,"free":50}' i
	for i in $(seq 1 $((cores - 1))); do map+=",\"$i\":{\"free\":100}"; done
	put_document structures "$HOST" "{\"type\":\"structure\",\"subtype\":\"host\",\"name\":\"$HOST\",\"host\":\"$HOST\",\"window_delay\":2,
		\"host_rescaler_ip\":\"${ADDRESS%:*}\",\"host_rescaler_port\":\"${ADDRESS##*:}\",\"resources\":{
		\"cpu\":{\"max\":$((cores * 100)),\"free\":$((cores * 100 - 50)),\"core_usage_mapping\":{$map}},\"mem\":{\"max\":1024,\"free\":512}}}"
	put_container web true 50
	put_container ghost false 20
}
feed_is() { [ "$(ask GET "/structure/$HOST?live" | jq -r '.feed_in_use + " " + (.live.connected | tostring)')" = "$1 true" ]; }
metric() { ask GET /metrics | awk -v name="$1" '$1 == name {print $2}'; }
metric_is() { [ "$(metric "$1")" = "$2" ]; }
metric_at_least() { [ "$(metric "$1")" -ge "$2" ] 2>/dev/null; }
quota_in_force() { [ "$(quota web)" = "$(resource web cpu current)" ]; }

make_cgroup web
make_cgroup ghost
prefer_loads
start_agent || { not_ok agent_starts; finish; }
for i in web ghost; do check "the_container_scaler_knows_$i" wait_for knows "$i"; done
same limits_are_set "$(api PUT /container/web '{"cpu":{"cpu_allowance_limit":"50","cpu_num":"0"},"mem":{"mem_limit":"256"}}')" 201
SCALER=$ADDRESS
start_opentsdb_double || { not_ok opentsdb_starts; finish; }
put_points web &
FEEDER=$!
start_controller || { not_ok controller_starts; finish; }
ask PUT /service/guardian/FEED_GRACE '{"value":"1"}' >/dev/null
ask PUT /service/structures_snapshoter/POLLING_FREQUENCY '{"value":"1"}' >/dev/null
kill_controller TERM
put_documents
start_controller --opentsdb "$OPENTSDB" || { not_ok controller_starts_again; finish; }

check the_host_is_fed_from_opentsdb wait_long feed_is opentsdb
same the_limit_in_force_is_on_record "$(resource web cpu current) $(resource web mem current)" "50 256"
check adds_up_at_first wait_for adds_up
check the_unknown_one_is_left_out wait_long metric_is ebb_opentsdb_unknown_names 1
check the_other_has_data wait_long metric_is ebb_opentsdb_containers_with_data 1

busy web "$cores"
check rises_with_the_load wait_long quota_at_least web 60
check record_agrees_with_the_kernel wait_for quota_in_force
check adds_up_busy wait_for adds_up
same every_query_was_answered "$(metric ebb_opentsdb_query_failures_total)" 0

# Without data nothing shrinks, whatever the load does.
settled() { before=$(quota web) && sleep 1 && quota_is web "$before" && metric_is ebb_scaler_in_flight 0; }
control "$OPENTSDB" '{"fail":503}' >/dev/null
check opentsdb_is_seen_to_be_away wait_long metric_is ebb_opentsdb_query_reachable 0
check no_order_is_under_way wait_for settled
before=$(quota web)
idle
check it_is_asked_again wait_long metric_at_least ebb_opentsdb_query_failures_total 4
same nothing_changes_without_data "$(quota web)" "$before"
control "$OPENTSDB" '{"fail":null}' >/dev/null
falls() { quota_at_most web $((before - 10)); }
check falls_when_it_is_back wait_long wait_long falls
check adds_up_after_the_fall wait_for adds_up

# An agent comes, at another address, and takes over as things are.
kill_agent TERM
check no_order_is_left wait_for settled
before=$(quota web)
start_feeding_agent || not_ok agent_starts_to_feed
check the_agent_takes_over wait_for feed_is local
same without_a_jump "$(quota web)" "$before"
busy web "$cores"
check rises_by_the_agent wait_long quota_at_least web $((cores * 70))
check adds_up_with_the_agent wait_for adds_up
idle
check falls_by_the_agent wait_long is_idle web

# It goes; the Container Scaler is there again.
kill_agent KILL
"$BUILD/ebb-agent" --listen "$SCALER" --pin-dir "$PIN" --name "$TAG" --containers "$TAG/*" 2>"$AGENT_LOG" &
# shellcheck disable=SC2034 # for the cleanup of agent.bash
AGENT=$!
check opentsdb_again_when_the_agent_is_gone wait_long feed_is opentsdb
check adds_up_in_the_end wait_for adds_up
busy web "$cores"
check rises_from_opentsdb_again wait_long wait_long quota_at_least web 60
idle
kill_controller TERM
same controller_ends_cleanly $? 0
finish
