# SPDX-License-Identifier: Apache-2.0
# For what plays a host without an agent: BDWatchdog's points of what a cgroup really used, and the
# documents of the original. Source it after loop.bash and peers.bash.
FEEDER=
: "${FEED_PERIOD:=1}" "${FEED_DELAY:=2}"
cores=$(nproc)
[ "$cores" -gt 2 ] && cores=2

# --- BDWatchdog: two processes' worth of points of what "web" used, every FEED_PERIOD seconds
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
		sleep "$FEED_PERIOD"
	done
}
stop_feeder() { [ -n "$FEEDER" ] && kill "$FEEDER" 2>/dev/null && wait "$FEEDER" 2>/dev/null; }
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
	put_document structures "$HOST" "{\"type\":\"structure\",\"subtype\":\"host\",\"name\":\"$HOST\",\"host\":\"$HOST\",\"window_delay\":$FEED_DELAY,
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

trap 'stop_feeder; end_of_peers; loop_cleanup' EXIT
