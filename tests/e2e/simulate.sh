#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ebb simulate and ebb rule eval: the examples of the system that Ebb replaces, worked out by hand,
# and what a user can get wrong. Beside others.
set -u
. "$(dirname "$0")/../check.bash"
ebb=${BUILD:-build}/ebb
scenarios=$(dirname "$0")/../scenarios
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT

# run SCENARIO EDIT SHOW: what jq shows of the lines, one a line.
run() { jq "$2" "$scenarios/$1.json" | "$ebb" simulate - | jq -rc "$3"; }
# The same, in one line.
show() { run "$@" | paste -sd' '; }

applied='select(.applied) | .applied | "\(.structure)=\(.value)@\(.cpus)"'
final_host='select(.final) | .final.structures[] | select(.name == "h0").resources.cpu'
ask() { echo ".requests = [$(printf '{at: 10, structure: "%s", resource: "cpu", amount: %d, field: "current"},' "$@" | sed 's/,$//')]"; }
full='.structures[0].resources.cpu |= (.max = 400 | .free = 0
	| .core_usage_mapping |= del(.["4"], .["5"], .["6"], .["7"]))'

# --- requests, step by step on the core map ---
same more_takes_the_next_free_core "$(show two_containers "$(ask c0 50)" "$applied")" c0=250@0,1,4
same more_leaves_the_rest_free "$(run two_containers "$(ask c0 50)" \
	"$final_host | [.free, (.core_usage_mapping[\"4\"] | .c0, .free)]")" '[350,50,50]'
same less_gives_the_last_core_back "$(show two_containers "$(ask c0 -150)" "$applied")" c0=50@0
same less_is_free_again "$(run two_containers "$(ask c0 -150)" "$final_host | .free")" 550
same on_a_full_host_one_grows_by_what_another_gives \
	"$(show two_containers "$full | $(ask c1 60 c0 -80)" "$applied")" 'c0=120@0,1 c1=260@2,3,1'
same on_a_full_host_the_rest_is_free "$(run two_containers "$full | $(ask c1 60 c0 -80)" \
	"$final_host | [.free, (.core_usage_mapping[\"1\"] | .c0, .c1, .free)]")" '[20,20,60,20]'
same growth_has_all_of_what_is_freed "$(show freed_shares . "$applied")" \
	'c0=120@0,1 c1=240@2,3,1'
same what_it_leaves_is_free "$(run freed_shares . "$final_host | .free")" 40
same less_ends_at_min "$(show two_containers "$(ask c0 -500)" "$applied")" c0=20@0
same more_ends_at_max "$(show two_containers "$(ask c0 500)" "$applied")" c0=400@0,1,4,5
same cores_follow_the_topology "$(show two_containers "$(ask c0 50) | .topology = {h0: {\"0\":
	{\"0\": [0, 4], \"1\": [1, 5]}, \"1\": {\"0\": [2, 6], \"1\": [3, 7]}}}" "$applied")" c0=250@0,1,4
same memory_has_no_cores "$(show two_containers '.requests =
	[{at: 1, structure: "c0", resource: "mem", amount: 512}]' \
	'select(.applied) | .applied | [.resource, .value, .cpus]')" '["mem",2560,""]'
same an_old_request_expires "$(show two_containers '.requests = [{at: 100, timestamp: 30,
	structure: "c0", resource: "cpu", amount: 50}]' 'select(.operation) | .operation.outcome')" expired
same without_a_host_nothing_is_applied "$(show two_containers "del(.structures[0]) | .until = 100
	| $(ask c0 50)" 'if .final then .final.requests_left else .operation.outcome end')" 'expired 0'
same what_waits_is_left "$(show two_containers "del(.structures[0]) | $(ask c0 50)" \
	'if .final then .final.requests_left else . end')" 1

# --- several at once ---
same less_is_done_before_more "$(show two_containers "$(ask c0 20 c0 -50)" "$applied")" \
	'c0=150@0,1 c0=170@0,1'
same of_two_for_the_same_the_later_counts "$(show two_containers "$(ask c0 20 c0 50)" "$applied")" c0=250@0,1,4
same a_priority_is_above_a_lower_one "$(show two_containers "$(ask c0 50 c0 20)
	| .requests[0].priority = 1 | .requests[1].priority = 0" "$applied")" c0=250@0,1,4
same a_priority_is_not_above_none "$(show two_containers "$(ask c0 20 c0 50)
	| .requests[0].priority = 1" "$applied")" c0=250@0,1,4
application='.structures += [{type: "structure", subtype: "application", name: "app1", guard: false, state: "running",
	containers: ["c0", "c1"], user: "u1", resources: {cpu: {max: 800, min: 40, guard: false}}}]
	| .users = [{type: "user", subtype: "user", name: "u1", clusters: ["app1"], resources: {cpu: {max: 2000, min: 100}}}]
	| .usages = [{at: 0, structure: "c0", cpu: 195}, {at: 0, structure: "c1", cpu: 10}]'
request='{at: 10, resource: "cpu"}'
same an_application_gives_to_who_needs_it "$(show two_containers "$application | .requests = [$request
	+ {structure: \"app1\", structure_type: \"application\", amount: 23}]" "$applied")" c0=223@0,1,4
same a_container_asks_on_top_of_its_application "$(show two_containers "$application | .requests = [$request
	+ {structure: \"c0\", amount: 30}, $request + {structure: \"app1\", amount: 40}]" "$applied")" \
	'c0=240@0,1,4 c0=270@0,1,4'
same a_swap_and_more_from_the_host_add_up "$(show two_containers ".requests = [$request
	+ {structure: \"c0\", amount: 20}, $request
	+ {structure: \"c0\", pair_structure: \"c1\", amount: 30}]" "$applied")" \
	'c1=170@2,3 c0=230@0,1,4 c0=250@0,1,4'
refused='select(.operation) | .operation | "\(.outcome): \(.reason)"'
same an_application_is_no_user "$(run two_containers "$application | .requests = [$request
	+ {structure: \"app1\", structure_type: \"container\", amount: 23}]" "$refused")" \
	'refused: app1 is an application, not a container'
same a_container_is_no_application "$(run two_containers "$application | .requests = [$request
	+ {structure: \"c0\", structure_type: \"application\", amount: 23}]" "$refused")" \
	'refused: c0 is a container, not an application'
same applications_swap_max "$(run two_containers "$application | .structures += [.structures[3] + {name: \"app2\",
	containers: []}] | .requests = [$request + {structure: \"app1\", pair_structure: \"app2\", amount: 23}]" \
	"$refused")" 'refused: an application swaps max, not current'
same parents_are_the_sums_of_theirs "$(show two_containers "$application | .requests = [$request
	+ {structure: \"app1\", amount: 23}]" 'select(.final) | .final | [.structures[0], .users[0]]
	| map(.resources.cpu.current) | @csv')" 423,423
same a_swap_on_a_full_host "$(show two_containers "$full | .requests = [$request
	+ {structure: \"c0\", pair_structure: \"c1\", amount: 50}]" "$applied")" 'c1=150@2,3 c0=250@0,1,3'
overcommitted="$full | .structures += [.structures[2] + {name: \"c2\", guard: false}]"
same a_cut_needs_no_room "$(show two_containers "$overcommitted | $(ask c2 -30)" "$applied")" c2=170@
same a_cut_that_fits_is_accounted "$(show two_containers "$overcommitted | $(ask c0 -180 c2 -30 c2 -40)
	| .requests[2].at = 20" "$applied" | cut -d' ' -f3)" 'c2=130@1,0'
same a_swap_is_one_operation "$(show two_containers "$full | .requests = [$request
	+ {structure: \"c0\", pair_structure: \"c1\", amount: 50}]" \
	'select(.operation) | .operation | "\(.operation):\(.structure):\(.pair):\(.outcome)"')" \
	'1:c1:c0:applied 1:c0:c1:applied'
max_of_c0='select(.final) | .final.structures[0].resources.cpu | "\(.max)/\(.current)"'
same less_max_raises_nothing "$(show two_containers ".requests = [$request
	+ {structure: \"c0\", field: \"max\", amount: -60}]" "$max_of_c0")" 340/200
same less_max_takes_current_along "$(show two_containers ".requests = [$request
	+ {structure: \"c0\", field: \"max\", amount: -300}]" "$max_of_c0")" 100/100

same each_operation_comes_before_what_it_did "$(run two_containers "$application | .usages = [] | .requests = [$request + {structure: \"app1\", amount: 300}]" \
	'if .operation.subtype == "container" then "operation \(.operation.structure)" elif .applied then "applied \(.applied.structure)"
	else empty end' | paste -sd' ')" 'operation c0 applied c0 operation c1 applied c1'
same a_parent_has_the_sum "$(run two_containers "$application | .requests = [$request
	+ {structure: \"app1\", amount: 23}]" 'select(.operation.subtype == "application") | .operation.current')" 400
same a_parent_has_the_sum_for_max_too "$(run two_containers "$application | .requests = [$request
	+ {structure: \"app1\", field: \"max\", amount: 20}]" 'select(.operation.subtype == "application") | .operation.current')" 400
same memory_that_is_used_stays "$(show two_containers '.usages = [{at: 0, structure: "c0", mem: 1200}] | .requests =
	[{at: 1, structure: "c0", resource: "mem", amount: -1500}]' \
	'select(.operation or .applied) | .operation // .applied | "\(.outcome):\(.applied):\(.value):\(.reason)"')" \
	'partial:1260:null:the agent could not go all the way null:null:1260:null'
same little_memory_that_is_used_has_a_margin "$(show two_containers '.usages = [{at: 0, structure: "c0", mem: 300}] | .requests =
	[{at: 1, structure: "c0", resource: "mem", amount: -1780}]' "$applied")" c0=316@
same memory_is_lowered_above_what_is_used "$(show two_containers '.usages = [{at: 0, structure: "c0", mem: 1200}] | .requests =
	[{at: 1, structure: "c0", resource: "mem", amount: -700}]' 'select(.operation) | .operation | "\(.outcome) \(.applied)"')" 'applied 1348'

# --- the cores of a host are those of its topology ---
four='.structures[0].resources.cpu |= (.max = 400 | .free = 0 | .core_usage_mapping |= del(.["4"], .["5"], .["6"], .["7"]))
	| .structures |= .[:2] | .topology = {h0: {"0": {"0": [0], "1": [2], "2": [5], "3": [9]}}}'
same cores_are_those_of_the_topology "$(show two_containers "$four | $(ask c0 150)" "$applied")" c0=350@0,2,5,9
same cores_without_a_map "$(show two_containers "$four | del(.structures[0].resources.cpu.core_usage_mapping) | $(ask c0 150)" \
	"$applied")" c0=350@0,2,5,9
same owners_of_other_cores_move "$(run two_containers "$four" "$final_host | [.max, .free, (.core_usage_mapping | keys | @csv),
	([.core_usage_mapping[].c0 // 0] | add)]")" '[400,200,"\"0\",\"2\",\"5\",\"9\"",200]'
same fewer_cores_than_it_said "$(show two_containers '.structures |= .[:2]
	| .topology = {h0: {"0": {"0": [0], "1": [1], "2": [2], "3": [3]}}} | '"$(ask c0 200)" "$applied")" c0=400@0,1,2,3

# --- the five distributions, and those of Ebb ---
# Each takes the cores that are wholly free in its order, one after another.
distribution() {
	show two_containers '.structures |= .[:2] | .structures[0] |= (.core_distribution = "'"$1"'"
		| .resources.cpu.core_usage_mapping |= map_values({free: 100}) | .resources.cpu.free = 800)
		| .structures[1].resources.cpu |= (.max = 800 | .current = 0 | .min = 0) | .structures[1].resources.cpu.guard = false
		| .topology = {h0: {"0": {"0": [0, 4], "1": [1, 5]}, "1": {"0": [2, 6], "1": [3, 7]}}}
		| .requests = [range(1; 9) | {at: ., structure: "c0", resource: "cpu", amount: 100}]' \
		'select(.applied) | .applied.cpus' | tail -n 1 | grep -o '[^ ]*$' | tr , ' '
}
same group_p_and_l "$(distribution 'Group_P&L')" '0 4 1 5 2 6 3 7'
same group_1p_2l "$(distribution Group_1P_2L)" '0 1 4 5 2 3 6 7'
same group_pp_ll "$(distribution Group_PP_LL)" '0 1 2 3 4 5 6 7'
same spread_p_and_l "$(distribution 'Spread_P&L')" '2 6 0 4 3 7 1 5'
same spread_pp_ll "$(distribution Spread_PP_LL)" '2 0 3 1 6 4 7 5'

# --- limits: boundary, upper, lower ---
limits() { # CURRENT MAX BOUNDARY TYPE
	show guarded ".structures[0].resources.cpu |= (.current = $1 | .max = $2)
		| .limits[0].resources.cpu = {boundary: $3, boundary_type: \"percentage_of_$4\"}
		| .usages = [{at: 0, structure: \"c0\", cpu: 1}]" \
		'select(.limits) | .limits | "\(.upper)/\(.lower)"'
}
same boundary_of_max "$(limits 150 200 10 max)" 130/110
same boundary_of_current "$(limits 150 200 10 current)" 135/120
same current_above_max_counts_as_max "$(limits 250 200 10 current)" 180/160
same current_above_max_becomes_max "$(show guarded ".structures[0].resources.cpu.current = 500 | .until = 3" \
	'if .final then .final.structures[0].resources.cpu.current else [.at, .limits.current] end')" '[0,400] 400'
same current_that_nobody_knows_is_max "$(show guarded "del(.structures[0].resources.cpu.current) | .usages = [{at: 7, structure: \"c0\",
	cpu: 1}] | .until = 3" 'select(.limits) | [.at, .limits.upper, .limits.current]')" '[3,360,400]'
same limits_are_told_when_they_change "$(run guarded '.limits[0].resources.cpu |= (.upper = 160 | .lower = 120)
	| .usages = [{at: 0, structure: "c0", cpu: 150}]' 'select(.limits)')" ''

# --- events and requests ---
# samples USAGE...: one every 10 s.
samples() {
	local at=0 list='' usage
	for usage in "$@"; do
		list+="{at: $at, structure: \"c0\", cpu: $usage},"
		at=$((at + 10))
	done
	echo ".usages = [${list%,}]"
}
told='if .event then .event.name elif .request then .request.amount else empty end'
rule() { echo ".rules |= map(if .name == \"$1\" then . + {$2} else . end)"; }

same above_upper_is_a_bottleneck "$(show guarded "$(samples 161)" "$told")" CpuBottleneck
same at_upper_and_lower_is_nothing "$(show guarded "$(samples 160 120)" "$told")" ''
same idle_is_no_underuse "$(show guarded "$(samples 0)" "$told")" ''
same two_events_ask "$(show guarded "$(samples 170 170)" "$told")" 'CpuBottleneck CpuBottleneck 75'
same two_of_one_moment_both_count "$(show guarded '.usages = [{at: 5, structure: "c0", cpu: 170},
	{at: 5, structure: "c0", cpu: 171}]' "$told")" 'CpuBottleneck CpuBottleneck 75'
same events_are_consumed "$(show guarded "$(samples 170 170 170)" "$told")" \
	'CpuBottleneck CpuBottleneck 75 CpuBottleneck'
same six_underuses_ask "$(show guarded "$(samples 70 70 70 70 70 70)" "$told")" \
	'CpuUnderuse CpuUnderuse CpuUnderuse CpuUnderuse CpuUnderuse CpuUnderuse -70'
same old_events_do_not_count "$(show guarded ".services[0].config.EVENT_TIMEOUT = 15
	| .usages = [{at: 0, structure: \"c0\", cpu: 170}, {at: 20, structure: \"c0\", cpu: 170}]" "$told")" \
	'CpuBottleneck CpuBottleneck'
same the_rest_of_the_way_to_max "$(show guarded ".structures[0].resources.cpu.current = 340 |
	$(samples 339 339)" "$told")" 'CpuBottleneck CpuBottleneck 60'
proportional() { # USAGE: current 150, max 200, 10% of max, so upper 130
	show guarded ".structures[0].resources.cpu |= (.current = 150 | .max = 250) | .limits[0].resources.cpu.boundary = 8
		| $(rule CpuRescaleUp 'rescale_policy: "proportional"') | $(samples "$1" "$1")" \
		'select(.request) | .request.amount'
}
same proportional_half "$(proportional 140)" 37
same proportional_all "$(proportional 155)" 75
same proportional_little "$(proportional 131.9)" 7
# request_of CURRENT MAX MIN BOUNDARY RULE EDIT USAGE N: what N samples of USAGE ask for; 10% of max, so upper - 40.
request_of() {
	local i list=()
	for ((i = 0; i < $8; i++)); do list+=("$7"); done
	show guarded ".structures[0].resources.cpu |= (.current = $1 | .max = $2 | .min = $3)
		| .limits[0].resources.cpu.boundary = $4 | $(rule "$5" "$6") | $(samples "${list[@]}")" \
		'select(.request) | .request.amount'
}
fit='rescale_policy: "fit_to_usage"'
# Spec vectors: current, margin, usage. The floor is out of the way with a min of 1.
same fit_far_below "$(request_of 2000 5000 1 10 CpuRescaleDown "$fit" 700 6)" -550
same fit_from_200 "$(request_of 200 200 1 10 CpuRescaleDown "$fit" 35.7 6)" -135
same fit_upwards "$(request_of 100 200 1 10 CpuRescaleUp "$fit" 95.2 2)" 25
# Trimmed: current 200, max 400, min 50, upper 150, lower 100.
trimmed() { request_of 200 400 50 12.5 "$1" "rescale_policy: \"amount\", amount: $2" "$3" "$4"; }
same as_it_is_up "$(trimmed CpuRescaleUp 70 190 2)" 70
same trimmed_to_max "$(trimmed CpuRescaleUp 250 190 2)" 200
same as_it_is_down "$(trimmed CpuRescaleDown -50 60 6)" -50
# The original keeps lower, not current, above min, and so ends at min + 2 margins.
same trimmed_to_min "$(trimmed CpuRescaleDown -100 60 6) $(trimmed CpuRescaleDown -160 60 6)" '-100 -150'
# of_an_application WHOSE: one guarded application; samples of it, or of its container.
of_an_application() {
	jq --slurpfile rules "$scenarios/guarded.json" '.rules = $rules[0].rules | .structures |= .[:2] | .structures[1].guard = false
		| .structures += [{type: "structure", subtype: "application", name: "app1", guard: true, state: "running",
			containers: ["c0"], resources: {cpu: {max: 800, min: 40, current: 200, guard: true}}}]
		| .limits = [{name: "app1", type: "limit", resources: {cpu: {boundary: 4, boundary_type: "percentage_of_max"}}}]
		| .services = [{name: "guardian", type: "service", config: {STRUCTURE_GUARDED: "application", WINDOW_TIMELAPSE: 10,
			WINDOW_DELAY: 10, EVENT_TIMEOUT: 120}}]
		| .usages = [10, 20, 30, 40 | {at: ., structure: "'"$1"'", cpu: 295}]' "$scenarios/two_containers.json" | "$ebb" simulate - |
		jq -rc 'if .event then "\(.at)" elif .request then "\(.at):\(.request.amount)" else empty end' | paste -sd' '
}
same an_application_is_judged_as_soon_as_a_container "$(of_an_application app1)" '10 20 20:75 30 40 40:75'
same so_is_one_that_its_members_make_up "$(of_an_application c0)" '10 20 20:75 30 40 40:75'
same an_event_as_a_document "$(run guarded "$(samples 170)" 'select(.event)')" \
	'{"at":0,"event":{"name":"CpuBottleneck","resource":"cpu","type":"event","structure":"c0","action":{"events":{"scale":{"up":1}}},"timestamp":0}}'
same a_request_as_a_document "$(run guarded "$(samples 170 170)" 'select(.request)')" \
	'{"at":10,"request":{"type":"request","resource":"cpu","amount":75,"priority":0,"structure":"c0","action":"CpuRescaleUp","field":"current","timestamp":10,"structure_type":"container","host":"h0","host_rescaler_ip":"h0","host_rescaler_port":"8000"}}'
same no_data_no_event "$(show guarded '.usages = [{at: 0, structure: "c0", mem: 6000}, {at: 1, structure: "c0", cpu: null},
	{at: 2, structure: "c0", cpu: -1}]' "$told")" ''
same windows_are_evaluated_when_over "$(show guarded ".evaluate = \"window\" | .services[0].config.WINDOW_DELAY = 5
	| .usages = [range(0; 21; 2) | {at: ., structure: \"c0\", cpu: (160 + . % 4)}]" \
	'select(.event or .request) | "\(.at):\(.event.name // .request.amount)"')" \
	'10:CpuBottleneck 20:CpuBottleneck 20:75 30:CpuBottleneck'
same the_whole_way "$(jq -s '.[0].structures[0] as $host | .[1] | .structures += [$host]
	| .usages = [range(0; 30; 10) | {at: ., structure: "c0", cpu: 190}]' \
	"$scenarios/two_containers.json" "$scenarios/guarded.json" | "$ebb" simulate - \
	| jq -rc 'if .final then empty else keys - ["at"] | .[] end' | paste -sd' ')" \
	'limits event event request operation applied limits event'

# --- the same input, the same bytes ---
twice() {
	jq "$(samples 170 170 70 70 70 70 70 70)" "$scenarios/guarded.json" >"$tmp/twice.json"
	"$ebb" simulate "$tmp/twice.json" >"$tmp/first"
	TZ=Asia/Tokyo LC_ALL=C env -u HOME "$ebb" simulate - <"$tmp/twice.json" >"$tmp/second"
	[ -s "$tmp/first" ] && cmp -s "$tmp/first" "$tmp/second"
}
check same_input_same_bytes twice
same an_empty_scenario "$(echo '{}' | "$ebb" simulate -)" '{"final":{"structures":[],"limits":[],"requests_left":0}}'

# --- what is wrong is named ---
# bad NAME SCENARIO EDIT TEXT...
bad() {
	local name=$1 edit=$3 rc
	jq "$edit" "$scenarios/$2.json" | "$ebb" simulate - >"$tmp/out" 2>"$tmp/err"
	rc=$?
	if [ $rc = 2 ] && [ ! -s "$tmp/out" ] && [ "$(wc -l <"$tmp/err")" = 1 ] && grep -qF "$4" "$tmp/err"; then
		ok "$name"
	else
		not_ok "$name" "status $rc: $(cat "$tmp/err")"
	fi
}
bad usage_no_number guarded '.usages = [{at: 0, structure: "c0", cpu: "much"}]' 'usages[0].cpu: must be a number'
bad usage_of_nobody guarded '.usages = [{at: 0, structure: "c9", cpu: 1}]' 'usages[0].structure'
bad usage_of_a_host two_containers '.usages = [{at: 0, structure: "h0", cpu: 1}]' 'h0 is a host'
bad usage_misspelt guarded '.usages = [{at: 0, structure: "c0", cpus: 1}]' 'usages[0].cpus'
bad usage_without_time guarded '.usages = [{structure: "c0", cpu: 1}]' 'usages[0].at: must be a number of seconds'
bad request_of_nobody two_containers "$(ask c9 1)" 'requests[0].structure'
bad request_without_resource two_containers '.requests = [{at: 1, structure: "c0", amount: 1}]' 'requests[0].resource'
bad request_of_no_field two_containers '.requests = [{at: 1, structure: "c0", resource: "cpu", amount: 1, field: "min"}]' 'requests[0].field'
bad twice_the_same two_containers '.structures += [.structures[1]]' 'c0 is there twice'
bad topology_of_nobody two_containers '.topology = {h7: {}}' 'topology.h7'
bad topology_of_no_sense two_containers '.topology = {h0: [1]}' 'topology.h0'
bad evaluate_never guarded '.evaluate = "never"' 'evaluate'
bad until_never guarded '.until = "never"' 'until'
bad misspelt guarded '.usage = []' 'usage'
bad no_object guarded '[1]' 'one JSON object'

# --- what a controller would load with a warning ---
# warned NAME SCENARIO EDIT TEXT SHOW WANT: one line with TEXT, no time in it; and it goes on.
warned() {
	local rc got
	jq "$3" "$scenarios/$2.json" | "$ebb" simulate - >"$tmp/out" 2>"$tmp/err"
	rc=$?
	got=$(jq -rc "$5" "$tmp/out" | paste -sd' ')
	if [ $rc = 0 ] && [ "$got" = "$6" ] && [ "$(wc -l <"$tmp/err")" = 1 ] && grep -qE '^(<4>|warning )[a-z]' "$tmp/err" &&
		grep -qF "$4" "$tmp/err"; then
		ok "$1"
	else
		not_ok "$1" "status $rc, got '$got': $(cat "$tmp/err")"
	fi
}
warned rule_with_the_old_key guarded "$(rule CpuRescaleUp 'rescale_by: "amount"') | (.rules[2] |= del(.rescale_policy)) | $(samples 170 170)" \
	'rules[2] is ignored: Rule CpuRescaleUp' "$told" 'CpuBottleneck CpuBottleneck'
warned rule_with_an_unknown_operator guarded "$(rule cpu_exceeded_upper 'rule: {"xor": [1, 2]}') | $(samples 170)" \
	'rules[0] is ignored' "$told" ''
warned limits_without_type guarded "del(.limits[0].resources.cpu.boundary_type) | .limits[0].resources.cpu += {upper: 160, lower: 120}
	| $(samples 170 170)" 'limits[0] of c0 is ignored' "$told" ''
warned limits_of_more_than_all guarded ".limits[0].resources.cpu.boundary = 150 | $(samples 170 170)" \
	'limits.cpu.boundary: 150' "$told" ''
warned min_above_max two_containers ".structures[1].resources.cpu.min = 500 | $(ask c0 50 c1 50)" \
	'structures[1] is ignored: resources.cpu: min 500 is above max 400' "$applied" c1=250@2,3,0
warned service_of_no_sense guarded ".services[1].config.REQUEST_TIMEOUT = \"long\" | $(samples 170 170)" \
	'services[1] scaler is ignored: REQUEST_TIMEOUT' "$told" 'CpuBottleneck CpuBottleneck 75'
warned guardian_not_active guarded ".services[0].config.ACTIVE = false | $(samples 170 170)" \
	'the guardian is not ACTIVE' "$told" ''
refused='select(.operation) | .operation | "\(.structure) \(.requested) \(.outcome) \(.current) \(.upper) \(.reason)"'
same a_request_for_nothing_is_refused "$(show two_containers "$(ask c0 0 c1 10)" "$refused")" \
	'c0 0 refused 200 null its amount of 0 cannot be c1 10 applied 200 null '
same a_request_for_what_it_has_not_is_refused "$(show two_containers '.requests = [{at: 1, structure: "c0",
	resource: "net", amount: 5}]' "$refused")" 'c0 5 refused null null c0 has no resource net'
same all_operations_have_the_same_members "$(run two_containers "$(ask c0 0 c1 10)" \
	'select(.operation) | .operation | keys | @csv' | sort -u | wc -l)" 1

echo '{"structures": [' | "$ebb" simulate - >"$tmp/out" 2>"$tmp/err"
same broken_json_status $? 2
check broken_json_place grep -q '^ebb: standard input:[0-9]*:[0-9]*: not JSON' "$tmp/err"

# --- the rebalancer: a full host, c0 idle and c1 starved ---
# rebalancer KEYS EDIT
rebalancer() { echo "$full"' | .services = [{name: "rebalancer", type: "service", config: '"$1"'}]
	| .structures[1].resources.cpu |= (.max = 200 | .guard = false)
	| .structures[2].resources.cpu |= (.max = 200 | .current = 100 | .guard = false)
	| .structures[0].resources.cpu.max = 300
	| .structures[0].resources.cpu.core_usage_mapping |= del(.["3"])
	| .until = 40 | .usages = [range(0; 40; 5) as $t | ({at: $t, structure: "c0", cpu: 10},
		{at: $t, structure: "c1", cpu: 98})] | '"${2:-.}"; }
asked='select(.request) | .at, .request | if type == "number" then . else
	"\(.structure)+\(.amount)<\(.pair_structure) \(.field) \(.priority)" end'
same rebalancer_rests_without_its_service \
	"$(run two_containers "$(rebalancer '{}' 'del(.services)')" "$asked")" ''
same rebalancer_rests_when_not_active \
	"$(run two_containers "$(rebalancer '{ACTIVE: false}')" "$asked")" ''
same rebalancer_swaps_by_rules "$(show two_containers "$(rebalancer '{}')" "$asked")" \
	'30 c1+72<c0 current 2'
same rebalancer_swaps_by_thresholds "$(show two_containers \
	"$(rebalancer '{BALANCING_POLICY: "thresholds"}')" "$asked")" '30 c1+72<c0 current 2'
same rebalancer_swaps_on_a_full_host "$(show two_containers "$(rebalancer '{}')" "$applied")" \
	'c0=128@0,1 c1=172@2,1'
same rebalancer_keeps_its_window "$(show two_containers "$(rebalancer \
	'{WINDOW_TIMELAPSE: 10, WINDOW_DELAY: 0, STOLEN_PERCENTAGE: 0.2}')" "$asked" | cut -d' ' -f1-4)" \
	'10 c1+36<c0 current 2'
same rebalancer_asks_without_hosts "$(show two_containers "$(rebalancer '{}' 'del(.structures[0])')" \
	"$asked")" '30 c1+72<c0 current 2'
same rebalancer_begins_with_time "$(show two_containers "$(rebalancer '{}' '.usages |= map(select(.at == (10, 20, 30)))')" \
	"$asked" | cut -d' ' -f1-4)" '30 c1+72<c0 current 2'
same rebalancer_keeps_applications_apart "$(show two_containers "$(rebalancer '{}' '.structures += [
	{type: "structure", subtype: "application", name: "app", guard: false, containers: ["c0"],
	 resources: {cpu: {max: 400, min: 20, guard: false}}}]')" "$asked")" ''

# --- decisions on record ---
decision='{"id": 7, "at": 5, "structure": "c0", "resource": "cpu", "origin": "guardian", "rule": "CpuRescaleUp",
	"requested": 75, "planned": 225, "outcome": "applied", "applied": 225, "grounds": {
	"amount": {"usage": 140, "before": null, "peak": 140, "last": 140, "throttled": null, "held_back": null,
		"need": 0, "of_members": false, "growth": null, "undo": 0, "raises": 0, "policy": "amount", "amount": 75, "type": "up",
		"boundary": 10, "boundary_type": "percentage_of_max", "current": 150, "min": 20, "max": 400,
		"upper": 110, "lower": 70},
	"plan": {"base": 150, "amount": 75, "current": 150, "allocated": 150, "min": 20, "max": 400, "free": 300}}}'
# again EDIT: replays the decision, edited.
again() { jq -c "$1" <<<"$decision" | "$ebb" simulate --from-audit - 2>&1 | jq -c '.difference // .replayed | [.of, .recorded, .replayed, .differences]' | paste -sd' '; }
same a_decision_comes_out_the_same "$(again .)" '[null,null,null,0]'
same another_amount_is_a_difference "$(again '.requested = 80')" '["requested",80,75,null] [null,null,null,1]'
same another_limit_is_a_difference "$(again '.planned = 250')" '["planned",250,225,null] [null,null,null,1]'
same another_measurement_is_a_difference "$(again '.grounds.amount.max = 200')" '["requested",75,50,null] [null,null,null,1]'
jq -c '.requested = 80' <<<"$decision" | "$ebb" simulate --from-audit - >/dev/null
same differences_status $? 1
printf '%s\n{"id": 8, "struc' "$(jq -c . <<<"$decision")" | "$ebb" simulate --from-audit - >/dev/null
same a_line_that_is_being_written $? 0
echo 'no' | "$ebb" simulate --from-audit - >"$tmp/out" 2>"$tmp/err"
same no_decisions_status "$? $(wc -c <"$tmp/out")" '2 0'

# --- one rule ---
eval_rule() { "$ebb" rule eval "$tmp/rule" - 2>&1; }
jq '.rules[0]' "$scenarios/guarded.json" >"$tmp/rule"
same a_rule_document "$(echo '{"cpu": {"structure": {"cpu": {"usage": 170, "max": 400, "current": 200}},
	"limits": {"cpu": {"upper": 160}}}}' | eval_rule)" true
echo '{"/": [{"var": "a"}, 4]}' >"$tmp/rule"
same a_rule_alone "$(echo '{"a": 5}' | eval_rule)" 1.25
same a_rule_without_data "$(echo 'null' | eval_rule)" null
echo '{"+": [{"var": "a"}, {"var": "b"}]}' >"$tmp/rule"
same a_result_reads_back_exactly "$(echo '{"a": 0.1, "b": 0.2}' | eval_rule)" 0.30000000000000004
same a_result_has_no_more_digits_than_it_needs "$(echo '{"a": 200, "b": 0.1}' | eval_rule)" 200.1
echo '{"if": [true, [0.1, "a\"b", {"var": "a"}]]}' >"$tmp/rule"
same a_result_of_several "$(echo '{"a": {"k": [null, 0.30000000000000004]}}' | eval_rule)" \
	'[0.1,"a\"b",{"k":[null,0.30000000000000004]}]'
echo '{"<=": [{"var": "a"}, {"var": "b"}]}' >"$tmp/rule"
same two_nulls_are_equal "$(echo '{}' | eval_rule)" true
same one_null_decides_nothing "$(echo '{"a": 1}' | eval_rule)" false
echo '{"and": []}' >"$tmp/rule"
same of_no_conditions_nothing_follows "$(echo '{}' | eval_rule)" null
echo '{"and": [true, {">>": [1, 2]}]}' >"$tmp/rule"
check a_bad_rule_names_the_place grep -qF 'and[1]' <(echo '{}' | eval_rule)
echo '{}' | "$ebb" rule eval "$tmp/rule" - >"$tmp/out" 2>/dev/null
same a_bad_rule_status "$?$(cat "$tmp/out")" 2

exit $failed
