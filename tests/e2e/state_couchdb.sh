#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A controller whose state is in a real CouchDB server: what is said and what is not, edits by hand,
# requests of other tools, and a database that goes away. Beside others.
. "$(dirname "$0")/controller.bash"
. "$(dirname "$0")/../peers/peers.bash"
need_peer couchdb state_couchdb

# doc DB NAME: the document, without what is CouchDB's own.
doc() {
	curl -s "$COUCHDB_STATE$1/_all_docs?include_docs=true" | jq -c --arg name "$2" '.rows[].doc | select(.name == $name)'
}
# there DB NAME FILTER WANT: is it so in the database?
there() { [ "$(doc "$1" "$2" | jq -r "$3")" = "$4" ]; }
# edit DB NAME FILTER: as with Fauxton. A revision that was old is tried again.
edit() {
	local text id
	for _ in $(seq 20); do
		text=$(doc "$1" "$2")
		id=$(jq -r '._id | @uri' <<<"$text")
		curl -s -X PUT -H 'Content-Type: application/json' --data-binary "$(jq -c "$3" <<<"$text")" "$COUCHDB_STATE$1/$id" |
			grep -q '"ok":true' && return 0
	done
	return 1
}
# shows PATH FILTER WANT: does the controller say so?
shows() { ctl GET "$1" >/dev/null && [ "$(jq -r "$2" "$TMP/body")" = "$3" ]; }
# soon NAME COMMAND...
soon() {
	local name=$1
	shift
	if wait_for "$@"; then ok "$name"; else not_ok "$name" "not so: $*"; fi
}
leads() { [ "$(curl -s "$COUCHDB_STATE"services/ebb_leader | jq -r .holder)" = "$CONTROLLER_ADDRESS" ]; }
# seen TEXT: nowhere that another user of this machine could look.
seen() {
	tr '\0' ' ' <"/proc/$CONTROLLER/cmdline" | grep -qF "$1" || grep -qF "$1" "$TMP/controller.log"
}

# --- no database there
wait_for_nothing() {
	"$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "$1" "${@:2}" >"$TMP/controller.log" 2>&1 &
	CONTROLLER=$!
}
wait_for_nothing "http://admin:hunter2@127.0.0.1:1/"
soon says_that_it_waits grep -q '127.0.0.1:1' "$TMP/controller.log"
check no_password_is_seen test "$(seen hunter2 && echo seen)" = ''
check cmdline_has_the_rest grep -qaF 'http://admin:***@127.0.0.1:1/' "/proc/$CONTROLLER/cmdline"
check still_waits kill -0 "$CONTROLLER"
stop_controller TERM
same ends_when_told $? 0
printf '[controller]\nstate = http://admin:hunter2@127.0.0.1:1/\nlisten = 127.0.0.1:0\n' >"$TMP/config"
"$BUILD/ebb-controller" --config "$TMP/config" >"$TMP/controller.log" 2>&1 &
CONTROLLER=$!
soon waits_by_its_file grep -q '127.0.0.1:1' "$TMP/controller.log"
check file_s_password_is_not_seen test "$(seen hunter2 && echo seen)" = ''
stop_controller INT
same interrupt_ends_it_too $? 0

# --- a controller on it
start_couchdb || { not_ok couchdb_starts; finish; }
if couchdb_is_ours; then
	same wrong_password_ends "$(timeout 20 "$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "${COUCHDB_STATE/adminpw/hunter2}" >"$TMP/log" 2>&1; echo $?)" 1
	check wrong_password_is_said grep -qi 'password' "$TMP/log"
	check wrong_password_is_not_said test "$(grep -c hunter2 "$TMP/log")" = 0
fi
start_controller --state "$COUCHDB_STATE" || { not_ok controller_starts; finish; }
same no_password_in_log_or_ps "$(seen "$(sed 's|.*//[^:]*:\(.*\)@.*|\1|' <<<"$COUCHDB_URL")" && echo seen)" ''
check log_has_the_rest grep -qF ':***@' "$TMP/controller.log"
check decisions_lie_where_they_shall test -e "$TMP/audit.jsonl"
soon leads leads
# It has the lease a moment before it takes a feed.
registered() { [ "$(register)" = 200 ]; }
check registers wait_for registered
same guards "$(ctl PUT /structure/c0/guard)" 200
soon is_written there structures c0 .guard true
soon defaults_are_written there rules CpuRescaleUp .active true

# --- by hand
check edits edit structures c0 '.resources.cpu.max = 300 | .resources.cpu.current = 7 | .owner = "ann"'
soon edit_takes_effect shows /structure/c0 .resources.cpu.max 300
soon edit_of_ours_is_put_back there structures c0 .resources.cpu.current 200
check edit_stays there structures c0 .owner ann
check edits_what_cannot_be edit structures c0 '.resources.cpu.max = 100000'
soon what_cannot_be_is_set_back there structures c0 .resources.cpu.max 300
check what_cannot_be_is_said grep -q 'c0 .* refused .*400 shares' "$TMP/controller.log"
check edits_limits edit limits c0 '.resources.cpu.boundary = 25'
soon boundary_takes_effect shows /structure/c0/limits/cpu .boundary 25
check edits_a_rule edit rules CpuRescaleUp '.amount = 33'
soon rule_takes_effect shows /rule/CpuRescaleUp .amount 33
check edits_a_service edit services scaler '.config.REQUEST_TIMEOUT = 44'
soon service_takes_effect shows /service/scaler .config.REQUEST_TIMEOUT 44
check breaks_a_service edit services scaler '.config.REQUEST_TIMEOUT = "soon"'
soon broken_service_is_set_back there services scaler .config.REQUEST_TIMEOUT 44
curl -s -X POST -H 'Content-Type: application/json' "${COUCHDB_STATE}users" -d '{"type":"user","name":"ann","clusters":[]}' >/dev/null
curl -s -X POST -H 'Content-Type: application/json' "${COUCHDB_STATE}structures" \
	-d '{"type":"structure","subtype":"application","name":"app1","guard":false,"containers":["c0"],"resources":{"cpu":{"max":800,"min":20,"guard":false}}}' >/dev/null
soon added_by_hand shows /structure/app1 '.containers[0]' c0
curl -s -X POST -H 'Content-Type: application/json' "${COUCHDB_STATE}requests" \
	-d '{"type":"request","structure":"nobody","resource":"cpu","amount":50,"field":"current","timestamp":1}' >/dev/null
no_requests() { curl -s "${COUCHDB_STATE}requests/_all_docs" | jq -e '[.rows[] | select(.id | startswith("_design") | not)] == []' >/dev/null; }
soon bad_request_is_deleted no_requests
check bad_request_is_said grep -q 'is deleted, not done: there is no structure nobody' "$TMP/controller.log"
deleted=$(doc structures c0 | jq -r '"\(._id | @uri)?rev=\(._rev)"')
curl -s -X DELETE "$COUCHDB_STATE"structures/"$deleted" >/dev/null
soon deleted_one_that_lives_is_new shows /structure/c0 '"\(.guard) \(.automatic)"' 'false true'
soon and_written_again there structures c0 .automatic true

# --- while it is away
if couchdb_is_ours; then
	kill_couchdb
	same goes_on "$(ctl PUT /structure/c0/resources/cpu/max '{"value": 222}')" 200
	soon tells shows /heartbeat '.state.reachable' false
	check tells_what_waits shows /heartbeat '.state.queued > 0 and .state.oldest_queued_s > 0 and (.state.last_error | length) > 0' true
	check error_has_no_password test "$(grep -c adminpw "$TMP/body")" = 0
	ctl GET /metrics >/dev/null
	check metrics_tell grep -q '^ebb_store_reachable 0$' "$TMP/body"
	restart_couchdb
	soon writes_after_its_return there structures c0 .resources.cpu.max 222
	soon tells_of_its_return shows /heartbeat '"\(.state.reachable) \(.state.queued)"' 'true 0'
	check edits_again edit structures c0 '.resources.cpu.min = 33'
	soon edit_takes_effect_again shows /structure/c0 .resources.cpu.min 33
fi
stop_controller
same stops $? 0

# --- a start without it
if couchdb_is_ours; then
	kill_couchdb
	start_controller --state "$COUCHDB_STATE" --state-optional || not_ok starts_without
	check says_that_it_goes_on shows /heartbeat .status alive
	stop_controller
fi
finish
