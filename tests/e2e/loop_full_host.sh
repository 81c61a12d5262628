#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two containers want all of a host: never more is promised than there is, both get something, and what
# one gives back the other gets. Then another hand writes a limit, and it is put back.
. "$(dirname "$0")/loop.bash"
need_cgroups loop_full_host
cores=$(nproc)
total=$((cores * 100))

make_cgroup left
make_cgroup right
start_loop
check guard_left guard left 20 $total 64 256
check guard_right guard right 20 $total 64 256
check both_idle_left wait_long is_idle left
check both_idle_right wait_long is_idle right

overbooked=0
watch_quotas() {
	local i
	for i in $(seq 40); do
		! more_than "$total" left right || overbooked=$((overbooked + 1))
		sleep 0.05
	done
}
# As soon as the sum of both is what the host has.
full() { [ "$(quotas left right)" = "$total" ]; }

busy left "$cores"
check one_gets_nearly_all wait_long quota_at_least left $((total * 3 / 4))
busy right "$cores"
watch_quotas
check the_host_fills_up wait_long full
watch_quotas
same never_more_than_there_is $overbooked 0
check the_other_gets_something quota_at_least right 20
check adds_up_full wait_for adds_up

# Both go; only one comes back.
idle
check left_falls wait_long quota_at_most left 40
busy right "$cores"
check what_is_given_back_is_taken wait_long quota_at_least right $((total * 3 / 4))
check adds_up_after_the_exchange wait_for adds_up
idle
check right_falls wait_long is_idle right
check left_is_idle wait_long is_idle left

# Another hand, as systemd's is after a daemon-reload.
before=$(quota left)
if [ -f "$(cg cpu left)/cpu.max" ]; then
	echo "70000 100000" >"$(cg cpu left)/cpu.max"
else
	echo 70000 >"$(cg cpu left)/cpu.cfs_quota_us"
fi
check a_foreign_limit_is_put_back wait_for quota_is left "$before"
foreign_is_on_record() {
	ask GET '/decision/?structure=left&limit=5' | jq -e "any(.origin == \"controller\" and .applied == $before)" >/dev/null
}
check and_is_on_record wait_for foreign_is_on_record
check adds_up_after_the_foreign_hand wait_for adds_up

before=$(quota right)
# A container that goes gives back what it had, under way or not.
remove_cgroup right
gone() { [ "$(ask GET /structure/right | jq -r '.resources.cpu.allocated // 0')" = 0 ]; }
check a_container_that_goes_gives_back wait_for gone
check adds_up_without_it wait_for adds_up
make_cgroup right
check it_comes_back_with_its_limits wait_for quota_is right "$before"
check adds_up_with_it_again wait_for adds_up
finish
