#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Series and sums of the real controller: documents in CouchDB that somebody put there by hand, points in
# an OpenTSDB that is as strict as the real one, behind a proxy that wants a password.
# shellcheck disable=SC2016 # jq's variables
. "$(dirname "$0")/controller.bash"
# shellcheck source=tests/peers/peers.bash
. "$(dirname "$0")/../peers/peers.bash"
need_peer couchdb controller_series
need_peer opentsdb_double controller_series

FEEDER='' SECOND=''
end_of_series_test() {
	[ -n "$FEEDER" ] && kill "$FEEDER" 2>/dev/null && wait "$FEEDER" 2>/dev/null
	[ -n "$SECOND" ] && kill -9 "$SECOND" 2>/dev/null && wait "$SECOND" 2>/dev/null
}
put_first_at_exit end_of_series_test

start_couchdb || exit 1
start_opentsdb_double auto_create=false auth=feeder:pa55w0rd || exit 1
with_password=${OPENTSDB/\/\//\/\/feeder:pa55w0rd@}

put_doc() { # DATABASE ID BODY
	curl -s -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Type: application/json' --data-binary "$3" "${COUCHDB_STATE}$1/$2"
}
get_doc() { curl -s "${COUCHDB_STATE}$1/$2"; }
# edit_doc DATABASE ID JQ: as an operator does.
edit_doc() { put_doc "$1" "$2" "$(get_doc "$1" "$2" | jq -c "$3")"; }
# By its name, whatever its id.
doc_named() { curl -s -X POST -H 'Content-Type: application/json' --data-binary "{\"selector\":{\"name\":\"$2\"}}" "${COUCHDB_STATE}$1/_find" | jq -c '.docs[0]'; }
metric() { ctl GET /metrics >/dev/null && grep -F -- "$1 " "$TMP/body" | grep -v '^#' | sed 's/.* //'; }
points() { curl -s "$OPENTSDB/control/points"; }
# newest METRIC TAG=NAME: the value of its newest point.
newest() { points | jq -c --arg m "$1" --arg k "${2%%=*}" --arg v "${2#*=}" '[.[]|select(.metric==$m and .tags[$k]==$v)]|max_by(.timestamp)|.value'; }
newest_is() { [ "$(newest "$1" "$2")" = "$3" ]; }
metric_is() { [ "$(metric "$1")" = "$2" ]; }
metric_above() { awk -v a="$(metric "$1")" -v b="$2" 'BEGIN { exit !(a > b) }'; }
doc_is() { [ "$(doc_named "$1" "$2" | jq -c "$3")" = "$4" ]; }
logged() { grep -q -- "$1" "$TMP/controller.log"; }

# Things here take a second or two; on a machine that is busy with others, longer.
eventually() {
	for _ in $(seq 600); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}

# Usage that never changes: 120 shares and 300 MiB in c0, 40 and 200 in c1.
feed_on() {
	local seq now=5000000000
	for ((seq = 2; ; seq++)); do
		now=$((now + 200000000))
		ctl POST /feed "{\"host\":\"h0\",\"session\":\"s1\",\"seq\":$seq,\"guard_version\":0,\"now\":$now,\"samples\":[
			[1,$now,$((now / 100 * 120)),0,0,0,314572800,314572800,0,0,0,0,0],
			[2,$now,$((now / 100 * 40)),0,0,0,209715200,209715200,0,0,0,0,0]]}" >/dev/null
		sleep 0.2
	done
}

# --- a URL that cannot be, and one with a password
same url_is_checked "$(timeout 10 "$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "sqlite:$TMP/x.db" --opentsdb feeder:pa55w0rd@tsdb 2>&1 | grep -c -- '--opentsdb must be a URL like http://HOST:4242')" 1
same spool_wants_opentsdb "$(timeout 10 "$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "sqlite:$TMP/x.db" --spool "$TMP/spool" 2>&1 | grep -c -- 'give --opentsdb URL too')" 1

if ! start_controller --state "$COUCHDB_STATE" --opentsdb "$with_password" --spool "$TMP/spool"; then
	not_ok controller_starts
	finish
fi
same no_password_in_ps "$(tr '\0' ' ' <"/proc/$CONTROLLER/cmdline" | grep -c pa55w0rd)" 0
registered() { [ "$(register)" = 200 ]; }
# With a CouchDB it has to be sure first that no other controller leads.
check leads_and_is_fed eventually registered
same periods "$(ctl PUT /service/database_snapshoter/POLLING_FREQUENCY '{"value":1}')$(ctl PUT /service/structures_snapshoter \
	'{"POLLING_FREQUENCY":1,"STRUCTURES_PERSISTED":["application","user"]}')$(ctl PUT /service/refeeder \
	'{"WINDOW_TIMELAPSE":2,"WINDOW_DELAY":0,"STRUCTURES_REFEEDED":["application","user"]}')" 200200200

# --- OpenTSDB does not know the names yet: told in words, and then they are made
check refused_points_are_counted eventually metric_above ebb_opentsdb_rejected_total 0
check refused_points_are_told eventually logged 'run `ebb-agent --assign-metrics`'
same nothing_is_stored "$(points | jq length)" 0
same metrics_are_made "$("$BUILD/ebb-agent" --opentsdb "$with_password" --assign-metrics >"$TMP/assigned" 2>&1; echo $?)" 0
check then_points_come eventually newest_is structure.cpu.max structure=c0 200
rejected=$(metric ebb_opentsdb_rejected_total)

# --- an application and a user appear in the database
# What it is answered must not come in between a question of the script's and the look at the answer.
mkdir "$TMP/feeder"
(TMP=$TMP/feeder && feed_on) &
FEEDER=$!
same application_is_put "$(put_doc structures app1-id '{"type":"structure","subtype":"application","name":"app1","guard":false,"state":"running",
	"containers":["c0"],"resources":{"cpu":{"max":800,"min":20},"mem":{"max":8192,"min":64},"energy":{"max":60,"min":1}}}')" 201
same user_is_put "$(put_doc users user0 '{"type":"user","subtype":"user","name":"user0","clusters":["app1"],"balancing_method":"pair_swapping",
	"resources":{"cpu":{"max":2000,"min":100},"energy":{"max":100,"min":20}}}')" 201
check current_is_summed eventually doc_is structures app1 .resources.cpu.current 200
check usage_is_summed eventually doc_is structures app1 .resources.cpu.usage 120
check current_of_the_user eventually doc_is users user0 .resources.cpu.current 200
check usage_of_the_user eventually doc_is users user0 .resources.cpu.usage 120
same without_a_value_is_left_out "$(doc_named structures app1 | jq -c '.resources.energy|keys')" '["guard","max","min"]'
same other_fields_stay "$(doc_named structures app1 | jq -c '[.state,.containers,._id]') $(doc_named users user0 | jq -c .balancing_method)" \
	'["running",["c0"],"app1-id"] "pair_swapping"'
for want in "structure.cpu.usage structure=app1 120" "structure.mem.usage structure=app1 300" "structure.cpu.current structure=app1 200" \
	"structure.mem.current structure=app1 512" "structure.cpu.usage user=user0 120" "structure.cpu.max user=user0 2000" \
	"structure.energy.max user=user0 100" "structure.energy.min structure=app1 1" "structure.cpu.max structure=h0 400" \
	"limit.cpu.upper structure=c0 180" "limit.cpu.lower structure=c0 160" "conf.guardian.window_timelapse service=guardian 0.3"; do
	# shellcheck disable=SC2086 # three words
	set -- $want
	check "point_$1_$2" eventually newest_is "$1" "$2" "$3"
done

# --- another container joins by hand; it has no limit, so it counts with what the host has
same containers_are_edited "$(edit_doc structures app1-id '.containers += ["c1"]')" 201
check usage_follows eventually newest_is structure.cpu.usage structure=app1 160
check memory_follows eventually newest_is structure.mem.usage structure=app1 500
check current_follows eventually newest_is structure.cpu.current structure=app1 600
# The one that has gone adds nothing, not -1.
same containers_are_edited_again "$(edit_doc structures app1-id '.containers += ["nobody"]')" 201
same sums_stay "$(sleep 3; newest structure.cpu.usage structure=app1) $(newest structure.cpu.current structure=app1)" "160 600"
same all_are_known "$(metric ebb_opentsdb_rejected_total)" "$rejected"
same moments_are_whole_seconds "$(points | jq '[.[].timestamp|select(.!=floor)]|length')" 0
same each_moment_once "$(points | jq '[.[]|select(.writes!=1)]|length')" 0

# --- switched off in the database, and on again
id=$(doc_named services database_snapshoter | jq -r ._id)
same service_is_edited "$(edit_doc services "$id" '.config.ACTIVE = false')" 201
check is_switched_off eventually metric_is 'ebb_series_active{service="database_snapshoter"}' 0
runs=$(metric 'ebb_series_runs_total{service="database_snapshoter"}')
sleep 2.2
same stays_off "$(metric 'ebb_series_runs_total{service="database_snapshoter"}')" "$runs"
same api_switches_on "$(ctl PUT /service/database_snapshoter/ACTIVE '{"value":true}')" 200
check runs_again eventually metric_above 'ebb_series_runs_total{service="database_snapshoter"}' "$runs"

# --- OpenTSDB away, and the controller killed meanwhile: what it had written down comes
kill "$FEEDER"
wait "$FEEDER" 2>/dev/null
FEEDER=
control "$OPENTSDB" '{"fail":503,"fail_path":"/api/put"}' >/dev/null
check away_is_seen eventually metric_is ebb_opentsdb_reachable 0
first=$(date +%s)
runs=$(metric 'ebb_series_runs_total{service="database_snapshoter"}')
check runs_go_on eventually metric_above 'ebb_series_runs_total{service="database_snapshoter"}' "$((runs + 3))"
check points_wait metric_above ebb_opentsdb_waiting_points 0
same heartbeat_tells "$(ctl GET /heartbeat) $(jq -c '.opentsdb|[.reachable,.waiting_points>0,(.error|length)>0,.dropped]' "$TMP/body")" "200 [false,true,true,0]"
ebb doctor >/dev/null
check doctor_tells grep -q "opentsdb.*does not take points, .* in the controller" "$TMP/out"
last=$(($(date +%s) - 1))
stop_controller KILL
control "$OPENTSDB" '{"fail":null,"fail_path":""}' >/dev/null
if start_controller --state "$COUCHDB_STATE" --opentsdb "$with_password" --spool "$TMP/spool"; then
	every_second() {
		[ "$(points | jq --argjson a "$((first + 1))" --argjson b "$last" \
			'[.[]|select(.metric=="structure.cpu.max" and .tags.structure=="c0" and .timestamp>=$a and .timestamp<=$b)]|length')" = "$((last - first))" ]
	}
	check nothing_is_lost eventually every_second
else
	not_ok controller_starts_again
fi

# --- a second controller stands by and writes nothing, until the first one is killed
"$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "$COUCHDB_STATE" --audit "$TMP/second.jsonl" \
	--opentsdb "$with_password" --spool "$TMP/second" >"$TMP/second.log" 2>&1 &
SECOND=$!
check second_stands_by eventually grep -q ' listens on ' "$TMP/second.log"
second=http://$(sed -n 's/.* listens on \([0-9.:]*\).*/\1/p' "$TMP/second.log" | head -n 1)
from=$(date +%s)
points_since() { [ "$(points | jq --argjson a "$1" '[.[]|select(.timestamp>=$a and .metric=="conf.scaler.polling_frequency")]|length')" -ge "$2" ]; }
check the_first_writes eventually points_since "$from" 4
same the_second_does_not "$(curl -s "$second/metrics" | grep -c '^ebb_series_active{service="database_snapshoter"} 0')$(points | jq --argjson a "$from" '[.[]|select(.timestamp>=$a and .writes!=1)]|length')" 10
ctl GET /metrics >/dev/null && cp "$TMP/body" "$TMP/metrics"
stop_controller KILL
from=$(($(date +%s) + 1))
check the_second_takes_over eventually points_since "$from" 2
check sums_go_on eventually doc_is users user0 '.resources.cpu|has("current")' true
kill "$SECOND"
wait "$SECOND"
same second_stops_cleanly $? 0
SECOND=
same no_password_anywhere "$(cat "$TMP/controller.log" "$TMP/second.log" "$TMP/assigned" "$TMP/metrics" | grep -c pa55w0rd)" 0
finish
