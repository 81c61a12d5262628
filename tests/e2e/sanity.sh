#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Somebody moves a container to another core by hand: it is found, put back, and told.
. "$(dirname "$0")/loop.bash"
need_cgroups sanity
if [ "$(nproc)" -lt 2 ]; then
	skip sanity "needs two CPUs"
	finish
fi

cpus() { cat "$(cg cpuset "$1")/cpuset.cpus"; }
cpus_are() { [ "$(cpus "$1")" = "$2" ]; }
move_by_hand() { echo "$2" >"$(cg cpuset "$1")/cpuset.cpus"; }
# An epoch now; its answer stays in a file.
look() { ask POST /sanity/run >"$TMP/sanity"; }
found() {
	look && jq -e --arg what "$1" '
		any(.findings[]; .check == "core_map" and .structure == "web" and .repaired and (.message | contains($what)))' \
		"$TMP/sanity" >/dev/null
}
nothing_found() { look && jq -e '.counts.core_map == 0 and .counts.accounting == 0' "$TMP/sanity" >/dev/null; }
metric() { ask GET /metrics | sed -n "s/^$1 //p"; }
doctor() { "$BUILD/ebb" --controller "http://$CONTROLLER_LISTEN" doctor 2>&1 | grep sanity; }
doctor_says() { doctor | grep -q "$1"; }

make_cgroup web
start_loop
# Only when asked.
ask PUT /service/sanity_checker/DELAY '{"value":86400}' >/dev/null
check container_appears wait_for has_structure web
check guard guard web 20 80 64 512
# At its min: an order of the guardian would put the cores back as well.
one_core() { [[ $(cpus web) =~ ^[0-9]+$ ]] && [ "$(quota web)" = 20 ] && [ "$(memory web)" = 64 ] && in_force web; }
check it_has_one_core wait_long one_core
mine=$(cpus web)
other=$((1 - mine))
check nothing_is_found_first wait_for nothing_found
check doctor_is_content doctor_says "as they should be"

# The scaler leaves it alone: the Sanity Checker has to see it.
ask PUT /service/scaler/CHECK_CORE_MAP '{"value":false}' >/dev/null
move_by_hand web "$other"
check found_by_an_epoch wait_for found "runs on cores $other"
same told_in_the_metrics "$(metric 'ebb_sanity_findings{check="core_map"}')" 1
same repair_is_counted "$(metric ebb_sanity_repairs_total)" 1
check doctor_tells_it doctor_says "web runs on cores $other"
check put_back wait_for cpus_are web "$mine"
check nothing_is_left wait_for nothing_found

# The scaler puts it back by itself: that is told all the same.
ask PUT /service/scaler/CHECK_CORE_MAP '{"value":true}' >/dev/null
move_by_hand web "$other"
check put_back_by_the_scaler wait_for cpus_are web "$mine"
check told_by_the_next_epoch found "they were put back"
same that_repair_is_counted_too "$(metric ebb_sanity_repairs_total)" 2

# What cannot be repaired is told until somebody does.
ask PUT /rule/cpu_exceeded_upper/deactivate >/dev/null
ask PUT /rule/cpu_saturated/deactivate >/dev/null
ask PUT /rule/cpu_throttled/deactivate >/dev/null
look
same a_rule_that_cannot_fire "$(jq -r '.findings[] | select(.check == "rule") | .structure' "$TMP/sanity")" CpuRescaleUp
check doctor_tells_what_to_do doctor_says "activate one that does"

# Without pinning cores are nobody's business.
ask PUT "/structure/$HOST/core_distribution" '{"value":"none"}' >/dev/null
move_by_hand web "$other"
# The agent has looked at it by then.
messages=$(($(metric ebb_feed_messages_total) + 4))
heard_since() { [ "$(metric ebb_feed_messages_total)" -ge "$messages" ]; }
check heard_of_it wait_for heard_since
check left_alone nothing_found
check stays_where_it_was_moved cpus_are web "$other"
check adds_up wait_for adds_up
finish
