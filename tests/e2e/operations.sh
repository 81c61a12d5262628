#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Operations on real containers: what an application asks for is split over its two, a swap works on a host
# with nothing free, and one that is cut off in the middle leaves everything as it was. The requests come
# in through the database, as other tools leave them there.
. "$(dirname "$0")/couch.bash"
need_peer couchdb_double operations
need_cgroups operations
cores=$(nproc)
total=$((cores * 100))

# limit NAME SHARES: before Ebb comes.
limit() {
	local d
	d=$(cg cpu "$1")
	if [ -f "$d/cpu.max" ]; then
		echo "$(($2 * 1000)) 100000" >"$d/cpu.max"
	else
		echo $(($2 * 1000)) >"$d/cpu.cfs_quota_us"
	fi
}
make_cgroup left
make_cgroup right
limit left 60
limit right 50
start_couchdb_double || exit 1
STATE=$COUCHDB_STATE
start_loop

check left_is_known wait_for has_structure left
check right_is_known wait_for has_structure right
# Unless somebody says otherwise, its max is the limit it came with.
may_have() { ask PUT "/structure/$1/resources/cpu/max" "{\"value\":$total}" >/dev/null; }
check left_may_have_all may_have left
check right_may_have_all may_have right
sum_is() { [ "$(quotas left right)" = "$1" ]; }
both_are() { quota_is left "$1" && quota_is right "$2"; }
# request NAME STRUCTURE JSON
request() {
	couch PUT "requests/$1" "{\"type\":\"request\",\"resource\":\"cpu\",\"structure\":\"$2\",
		\"timestamp\":$(date +%s.%N),$3}" >/dev/null
}
# outcome NAME [FIELD]: of the newest decision about it.
outcome() { ask GET "/decision/?structure=$1&limit=1" | jq -r ".[0].${2:-outcome}"; }
outcome_is() { [ "$(outcome "$1")" = "$2" ]; }

# --- an application
check write_the_application couch PUT structures/app '{"type":"structure","subtype":"application","name":"app",
	"guard":false,"containers":["left","right"],"resources":{"cpu":{"max":'$total',"min":20}}}'
check app_is_known wait_for has_structure app
[ "$failed" -eq 0 ] || finish
check ask_for_the_application request r1 app '"structure_type":"application","field":"current","amount":40'
check its_containers_get_it wait_for sum_is 150
check app_is_on_record wait_for outcome_is app applied
same app_follows "$(resource app cpu current)" 150
check containers_are_accounted wait_for adds_up
check all_that_there_is request r2 app '"structure_type":"application","field":"current","amount":10000'
check host_is_full wait_for sum_is "$total"
same no_share_is_free "$(resource "$HOST" cpu free)" 0

[ "$failed" -eq 0 ] || finish

# --- a swap
before_left=$(quota left) before_right=$(quota right)
check ask_for_a_swap request r3 right '"pair_structure":"left","amount":20'
check both_change wait_for both_are $((before_left - 20)) $((before_right + 20))
check swap_is_on_record wait_for outcome_is left applied
same whom_with "$(outcome left pair)" right
same one_operation "$(outcome left operation)" "$(outcome right operation)"
check adds_up_after_the_swap wait_for adds_up
"$BUILD/ebb" --controller "http://$CONTROLLER_LISTEN" why left >"$TMP/why"
check why_tells_of_it grep -q 'A swap: what it gives up goes to right, operation' "$TMP/why"

[ "$failed" -eq 0 ] || finish

# --- a swap that is cut off: the agent stops as soon as the donor has given
amount=20 donor=right receiver=left
rollbacks() { metric ebb_scaler_rollbacks_total; }
quota_file() {
	local d
	d=$(cg cpu "$1")
	[ -f "$d/cpu.max" ] && echo "$d/cpu.max" || echo "$d/cpu.cfs_quota_us"
}
# Lets the agent run for a moment too short for two orders.
step() {
	local k
	kill -CONT "$AGENT"
	for ((k = 0; k < 100; k++)); do :; done
	kill -STOP "$AGENT"
}
# Until FILE changes; it is stopped then.
step_until_changed() {
	local before now
	before=$(<"$1")
	now=$before
	while [ "$now" = "$before" ] && [ "$SECONDS" -lt "$deadline" ]; do
		step
		now=$(<"$1")
	done
	[ "$now" != "$before" ]
}
# And until the second order has been sent to it, or the first was given up.
step_until_ordered() {
	local i
	for i in $(seq 100); do
		[ "$(metric ebb_scaler_orders_total)" -lt "$1" ] || return 0
		step
	done
}
# A moment that was too long lets the swap through: again then, the other way round.
cut_off() {
	local i swap had orders
	for i in 1 2 3 4 5 6 7 8; do
		had=$(quota "$receiver")
		orders=$(metric ebb_scaler_orders_total)
		request "cut$RANDOM" "$receiver" "\"pair_structure\":\"$donor\",\"amount\":$amount" || return 1
		step_until_changed "$(quota_file "$donor")" || return 1
		step_until_ordered $((orders + 2))
		if quota_is "$receiver" "$had"; then
			"$@"
			# The order is given up after 2 s.
			sleep 2.5
			kill -CONT "$AGENT"
			wait_for eval '[ "$(rollbacks)" -gt "$rolled" ]'
			return
		fi
		kill -CONT "$AGENT"
		wait_for eval '[ "$(metric ebb_scaler_operations_open)" = 0 ]' || return 1
		swap=$donor donor=$receiver receiver=$swap
	done
	return 1
}
deadline=$((SECONDS + 40))
rolled=$(rollbacks)
before_left=$(quota left) before_right=$(quota right)
check one_is_cut_off cut_off :
check back_where_it_was wait_for sum_is "$total"
as_on_record() {
	quota_is left "$(resource left cpu current)" && quota_is right "$(resource right cpu current)" && adds_up
}
check in_force_as_on_record wait_for as_on_record
rolled_back() { ask GET '/decision/?limit=20' | jq -e 'any(.outcome == "rolled back" or .outcome == "failed")' >/dev/null; }
check rollback_is_on_record rolled_back

[ "$failed" -eq 0 ] || finish

# --- the receiver goes in the middle
deadline=$((SECONDS + 40))
rolled=$(rollbacks)
receiver_goes() {
	donor_had=$((total - had))
	remove_cgroup "$receiver"
}
check receiver_goes cut_off receiver_goes
donor_is_back() { quota_is "$donor" "$donor_had" && [ "$(resource "$donor" cpu current)" = "$donor_had" ]; }
check donor_gets_it_back wait_for donor_is_back
check adds_up_in_the_end wait_for adds_up
finish
