#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A guarded application of two containers, of which one is busy: what it may use in all follows what that one
# needs, and the other gives up what it leaves unused. Neither is guarded itself.
. "$(dirname "$0")/loop.bash"
need_cgroups application

# subscribe NAME: 20 to 150 shares, 40 at first.
subscribe() {
	ask PUT "/structure/container/$1" "{\"container\":{\"name\":\"$1\",\"resources\":{
		\"cpu\":{\"max\":150,\"current\":40,\"min\":20,\"guard\":false},
		\"mem\":{\"max\":256,\"current\":256,\"min\":64,\"guard\":false}},
		\"host_rescaler_ip\":\"$HOST\",\"host_rescaler_port\":\"8000\",\"host\":\"$HOST\",\"guard\":false,\"subtype\":\"container\"},
		\"limits\":{\"resources\":{\"cpu\":{\"boundary\":10,\"boundary_type\":\"percentage_of_current\"},
		\"mem\":{\"boundary\":10,\"boundary_type\":\"percentage_of_current\"}}}}" >/dev/null
}
tell() { ask "$@" >/dev/null; }
current() { resource app cpu current; }
current_at_least() { [ "$(current)" -ge "$1" ] 2>/dev/null; }
current_at_most() { [ "$(current)" -le "$1" ] 2>/dev/null; }
is_sum() { [ "$(current)" = "$(quotas c0 c1)" ]; }
within_bounds() { quota_at_least "$1" 20 && quota_at_most "$1" 150; }
uses_most_of_its_limit() {
	ask GET "/structure/$1?live=true" | jq -e '.live.resources.cpu.usage >= 0.8 * .resources.cpu.current' >/dev/null
}
decisions() { ask GET '/decision/?limit=1000' | jq '[.[] | select(.origin == "guardian")] | length'; }

for name in c0 c1; do make_cgroup "$name"; done
start_loop
for name in c0 c1; do
	check "${name}_is_reported" wait_for has_structure "$name"
	check "${name}_comes_in" subscribe "$name"
done
check application_comes_in tell PUT /structure/apps/app '{"app":{"name":"app","subtype":"application","guard":false,
	"resources":{"cpu":{"max":260,"min":40,"guard":true},"mem":{"max":512,"min":128,"guard":false}},
	"install_script":"","install_files":"","runtime_files":"","output_dir":"","start_script":"","stop_script":""},
	"limits":{"resources":{"cpu":{"boundary":10,"boundary_type":"percentage_of_current"},
	"mem":{"boundary":10,"boundary_type":"percentage_of_current"}}}}'
for name in c0 c1; do check "${name}_joins" tell PUT "/structure/container/$name/app"; done
check kind_is_guarded tell PUT /service/guardian/STRUCTURE_GUARDED '{"value":["application"]}'
check guard tell PUT /structure/app/guard
same begins_with_what_its_containers_have "$(current)" 80

busy c0 1
check grows_by_what_the_busy_one_needs wait_long quota_at_least c0 80
check application_follows wait_for current_at_least 100
check sum_is_right wait_for is_sum
check busy_one_is_within_its_bounds within_bounds c0
check other_one_is_within_its_bounds within_bounds c1
same nobody_else_decided "$(ask GET '/decision/?limit=1000' |
	jq -r '[.[] | select(.origin == "guardian" and .subtype == "container" and (.operation // 0) == 0)] | length')" 0
check adds_up_busy wait_for adds_up

idle
check falls_when_the_load_ends wait_long current_at_most 60
check fallen_within_bounds within_bounds c0
check sum_is_right_afterwards wait_for is_sum
check adds_up_idle wait_for adds_up

check unguard tell PUT /structure/app/unguard
before="$(current) $(decisions)"
busy c0 1
check busy_again wait_long uses_most_of_its_limit c0
same unguarded_it_stays "$(current) $(decisions)" "$before"
idle

stop_agent TERM
same agent_ends_cleanly $? 0
kill_controller TERM
same controller_ends_cleanly $? 0
finish
