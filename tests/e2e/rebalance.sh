#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A full host with one idle and one starved container, and a guardian that rests: the ReBalancer, once
# it is switched on, brings shares from one to the other, and never more than there are.
. "$(dirname "$0")/loop.bash"
need_cgroups rebalance
cores=$(nproc)
total=$((cores * 100))
little=$((total / 4))

# set_quota NAME SHARES
set_quota() {
	local d
	d=$(cg cpu "$1")
	if [ -f "$d/cpu.max" ]; then
		echo "$(($2 * 1000)) 100000" >"$d/cpu.max"
	else
		echo 100000 >"$d/cpu.cfs_period_us"
		echo $(($2 * 1000)) >"$d/cpu.cfs_quota_us"
	fi
}
configure() { ask PUT /service/rebalancer "$1" >/dev/null; }
fits() { ! more_than "$total" lazy starved; }
metric() { ask GET /metrics | sed -n "s/^$1 //p"; }
metric_at_least() { [ "$(metric "$1" | cut -d. -f1)" -ge "$2" ] 2>/dev/null; }

make_cgroup lazy
make_cgroup starved
set_quota lazy $((total - little))
set_quota starved "$little"
start_loop
ask PUT /service/guardian/ACTIVE '{"value":false}' >/dev/null
check guard_lazy guard lazy 20 "$total" 64 256
check guard_starved guard starved 20 "$total" 64 256
check the_host_is_full wait_for adds_up
same nothing_is_free "$(resource "$HOST" cpu free)" 0

# What it is not told to do it does not do.
same it_is_off_by_itself "$(metric ebb_rebalancer_active)" 0
busy starved "$((cores + 1))"
same a_value_that_cannot_be "$(curl -s -o /dev/null -w '%{http_code}' -X PUT \
	-d '{"value":"perhaps"}' "http://$CONTROLLER_LISTEN/service/rebalancer/BALANCING_POLICY")" 400
check switched_on configure '{"ACTIVE":true,"WINDOW_TIMELAPSE":2,"WINDOW_DELAY":0}'

check the_starved_one_gets_shares wait_long quota_at_least starved $((total / 2))
check the_idle_one_gave_them quota_at_most lazy $((total / 2))
check it_goes_on_with_what_is_left wait_long metric_at_least ebb_rebalancer_swaps_total 2
check never_more_than_there_is fits
check adds_up_after_swaps wait_for adds_up
on_record() {
	ask GET '/decision/?structure=starved&limit=20' | jq -e 'any(.origin == "rebalancer" and
		.pair == "lazy" and .rule == "container_cpu_usage_high" and .outcome == "applied")' >/dev/null
}
check swaps_are_on_record wait_for on_record
owed() { [ "$(ask GET "/structure/$1" | jq '.rebalance_credit.cpu')" "$2" 0 ]; }
check the_idle_one_has_credit wait_for owed lazy -gt
check the_other_owes_it wait_for owed starved -lt
beats() { [ "$(ask GET /service/rebalancer | jq '.heartbeat | type')" = '"number"' ]; }
check its_service_has_a_heartbeat wait_for beats

# Switched off it stays as it is.
check switched_off configure '{"ACTIVE":false}'
rests() { [ "$(metric ebb_rebalancer_active)" = 0 ]; }
check it_rests wait_for rests
idle
finish
