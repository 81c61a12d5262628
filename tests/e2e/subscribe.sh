#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The calls of the original's curl wrappers, with their default payloads, against the real controller and
# an agent on real cgroups: everything comes in and goes out again. What cannot be leaves no trace, in the
# state or on the host.
. "$(dirname "$0")/loop.bash"
need_cgroups subscribe

# old METHOD PATH [BODY]: as the wrappers do it; prints the status, the answer is in $TMP/body.
old() {
	local args=(-s -o "$TMP/body" -w '%{http_code}' -X "$1" -H "Content-Type: application/json")
	[ $# -gt 2 ] && args+=(-d "$3")
	curl "${args[@]}" "http://$CONTROLLER_LISTEN$2"
}
# But for the port of the agent, which is another after it was started again, and for what the
# members of applications and users use and have, which comes with their samples.
everything() {
	local path
	for path in /structure/ /user/; do
		ask GET "$path" | jq -cS 'sort_by(.name) | map(del(.host_rescaler_port)
			| if .subtype == "container" or .subtype == "host" then .
			else del(.resources[]?.usage, .resources[]?.current) end)'
	done
}
in_force_now() {
	local name
	for name in c0 c1 c2; do echo "$name $(quota "$name") $(memory "$name")"; done
}
unchanged() { [ "$(everything)" = "$before" ] && [ "$(in_force_now)" = "$before_in_force" ]; }
remember() {
	before=$(everything)
	before_in_force=$(in_force_now)
}

subscribe_host() {
	old PUT "/structure/host/$1" "{\"name\":\"$1\",\"host\":\"$1\",\"subtype\":\"host\",\"host_rescaler_ip\":\"$1\",
		\"host_rescaler_port\":\"8000\",\"resources\":{\"cpu\":{\"max\":800,\"free\":800},\"mem\":{\"max\":24576,\"free\":24576}}}"
}
# subscribe_container NAME [CPU [MEM]]
subscribe_container() {
	local cpu=${2:-$CPU} mem=${3:-$MEM}
	old PUT "/structure/container/$1" "{\"container\":{\"name\":\"$1\",\"resources\":{
		\"cpu\":{\"max\":\"$cpu\",\"current\":\"$cpu\",\"min\":\"20\",\"guard\":\"false\"},
		\"mem\":{\"max\":\"$mem\",\"current\":\"$mem\",\"min\":\"64\",\"guard\":\"false\"}},
		\"host_rescaler_ip\":\"$HOST\",\"host_rescaler_port\":\"8000\",\"host\":\"$HOST\",\"guard\":\"false\",\"subtype\":\"container\"},
		\"limits\":{\"resources\":{\"cpu\":{\"boundary\":\"10\",\"boundary_type\":\"percentage_of_max\"},
		\"mem\":{\"boundary\":\"10\",\"boundary_type\":\"percentage_of_max\"}}}}"
}
subscribe_app() {
	old PUT "/structure/apps/$1" "{\"app\":{\"name\":\"$1\",\"resources\":{
		\"cpu\":{\"max\":1600,\"min\":20,\"guard\":false,\"weight\":1},\"mem\":{\"max\":24576,\"min\":512,\"guard\":false,\"weight\":1}},
		\"guard\":false,\"subtype\":\"application\",\"install_script\":\"\",\"install_files\":\"\",\"runtime_files\":\"\",
		\"output_dir\":\"\",\"start_script\":\"\",\"stop_script\":\"\",\"framework\":\"\"},
		\"limits\":{\"resources\":{\"cpu\":{\"boundary\":5,\"boundary_type\":\"percentage_of_max\"},
		\"mem\":{\"boundary\":5,\"boundary_type\":\"percentage_of_max\"}}}}"
}
subscribe_user() {
	old PUT "/user/$1" "{\"user\":{\"name\":\"$1\",\"subtype\":\"user\",\"balancing_method\":\"pair_swapping\",
		\"resources\":{\"cpu\":{\"max\":2000,\"min\":100},\"mem\":{\"max\":24576,\"min\":512},\"energy\":{\"max\":100,\"min\":20}}}}"
}
set_value() { old PUT "$1" "{\"value\":\"$2\"}"; }

for name in c0 c1 c2; do make_cgroup "$name"; done
start_loop
for name in c0 c1 c2; do check "${name}_is_reported" wait_for has_structure "$name"; done
# The original's defaults are 200 and 6144; a machine may have less.
total=$(resource "$HOST" cpu max)
total_mem=$(resource "$HOST" mem max)
CPU=$((total < 200 ? total : 200))
MEM=$((total_mem / 2 < 6144 ? total_mem / 2 : 6144))
beginning=$(ask GET "/structure/$HOST" | jq -S 'del(.automatic, .host_rescaler_port)')

# As the original's deployment does it: nothing scales while the layout comes in.
same scaler_off "$(set_value /service/scaler/ACTIVE false)" 200
same host_comes_in "$(subscribe_host "$HOST") $(body '[.resources.cpu.max, .resources.mem.max, .automatic]|tojson')" \
	"200 [$total,$total_mem,null]"
same container_comes_in "$(subscribe_container c0)" 200
same its_cpu_is_in_force "$(quota c0)" "$CPU"
same its_memory_is_in_force "$(memory c0)" "$MEM"
check adds_up wait_for adds_up
same app_comes_in "$(subscribe_app app1)" 200
same container_into_app "$(old PUT /structure/container/c0/app1) $(body '.containers|tojson')" '200 ["c0"]'
same user_comes_in "$(subscribe_user user0)" 200
same app_to_user "$(old PUT /user/clusters/user0/app1) $(body '.clusters|tojson')" '200 ["app1"]'

# --- tuning
same state "$(old PUT /structure/app1/state/RUNNING) $(body .state)" "200 running"
same app_max "$(set_value /structure/app1/resources/cpu/max 1500) $(body .resources.cpu.max)" "200 1500"
same app_weight "$(set_value /structure/app1/resources/cpu/weight 2.5) $(body .resources.cpu.weight)" "200 2.5"
same container_min "$(set_value /structure/c0/resources/cpu/min/ 30) $(body .resources.cpu.min)" "200 30"
same parameter_that_is_none "$(set_value /structure/c0/resources/cpu/shares 30)" 400
same user_max "$(set_value /user/user0/resources/cpu/max 900) $(body .resources.cpu.max)" "200 900"
same user_energy "$(set_value /user/user0/energy/max 90) $(body .resources.energy.max)" "200 90"
same disks_come_in "$(old PUT "/structure/host/$HOST/disks" '{"resources":{"disks":[{"name":"ssd_0","type":"SSD","load":0,"path":"/dev/sdb",
	"max_read":500,"free_read":500,"max_write":400,"free_write":400}]}}') $(body .resources.disks.ssd_0.free_write)" "200 400"
same disks_are_resized "$(old POST "/structure/host/$HOST/disks" '{"resources":{"disks":[{"name":"ssd_0","max_read":"600","max_write":"300"}]}}') $(body .resources.disks.ssd_0.free_write)" "200 300"

# --- what cannot be
remember
same twice "$(subscribe_container c0)" 409
same no_free_share "$(subscribe_container c1 "$((total - CPU + 20))" 64) $(body .message | grep -c 'enough free cpu')" "409 1"
same not_there "$(subscribe_container nobody 20 64)" 400
same host_with_containers "$(old DELETE "/structure/host/$HOST") $(body .message | grep -c '1 container')" "409 1"
same host_not_there "$(subscribe_host localhost) $(body .message | grep -c 'Could not connect')" "400 1"
same unknown_container "$(old DELETE /structure/container/nobody)" 404
same unknown_host "$(old DELETE /structure/host/c0)" 404
same unknown_app "$(old DELETE /structure/apps/c0)" 404
same unknown_user "$(old DELETE /user/nobody)" 404
same second_app "$(old PUT /structure/container/c0/app1)" 409
same not_a_member "$(old DELETE /structure/container/c1/app1)" 400
check refusals_leave_everything wait_for unchanged
same the_scaler_is_as_it_was "$(ask GET /service/scaler | jq .config.ACTIVE)" false

mkfifo "$TMP/wait"
# --- what fails on the host: the memory is in use, so the CPU limit has to go back, too
(enter c2 bash -c 'held=$(head -c 100000000 /dev/zero | tr "\0" x); read -r _ <"$1"' _ "$TMP/wait") &
HOLDER=$!
disown
uses_memory() { [ "$(cat "$(cg memory c2)"/memory.{current,usage_in_bytes} 2>/dev/null)" -gt 100000000 ]; }
check memory_is_in_use wait_long uses_memory
[ "$total" -gt "$CPU" ] || set_value /structure/c0/resources/cpu/max $((CPU - 20)) >/dev/null
# The scaler is off: what a lower max asks for waits for it.
same scaler_on "$(set_value /service/scaler/ACTIVE true)" 200
has_room() { [ "$(resource "$HOST" cpu free)" -ge 20 ]; }
check room_for_another wait_for has_room
remember
same memory_in_use "$(subscribe_container c2 20 64) $(body .message | grep -c 'mem of it is at')" "409 1"
check taken_back_on_the_host wait_for unchanged
kill -9 "$HOLDER" 2>/dev/null

# The agent stands still: whatever it was to do, it did not.
kill -STOP "$AGENT"
same a_stopped_agent "$(subscribe_container c1 20 64)" 502
kill -CONT "$AGENT"
check a_stopped_agent_leaves_everything wait_for unchanged
kill_agent KILL
same a_dead_agent "$(subscribe_container c1 20 64)" 502
start_feeding_agent
agent_is_back() { ask GET "/structure/c1?live" | jq -e .live.connected >/dev/null; }
check the_agent_is_back wait_for agent_is_back
check a_dead_agent_leaves_everything wait_for unchanged

# --- out again: what vanished gives back what it had
same another_comes_in "$(subscribe_container c1 20 64)" 200
check its_limit_is_in_force wait_for quota_is c1 20
remove_cgroup c1
# Before the agent has noticed, or after.
same vanished_goes "$(old DELETE /structure/container/c1)" 200
gone() { ! has_structure c1; }
check vanished_is_gone wait_for gone
check adds_up_without_it wait_for adds_up

kill_controller KILL
start_controller
still_there() { ask GET "/structure/c0?live" | jq -e '.live.connected and .automatic == null' >/dev/null; }
check a_restart_keeps_what_came_in wait_long still_there
check adds_up_after_the_restart wait_for adds_up

same out_of_the_app "$(old DELETE /structure/container/c0/app1) $(body '.containers|tojson')" "200 []"
same into_the_app_again "$(old PUT /structure/container/c0/app1/)" 200
same from_the_user "$(old DELETE /user/clusters/user0/app1/) $(body '.clusters|tojson')" "200 []"
same user_goes "$(old DELETE /user/user0)" 200
same container_goes "$(old DELETE /structure/container/c0)" 200
same known_on "$(ask GET /structure/c0 | jq -c '[.automatic, .guard, .resources.cpu.allocated]')" "[true,false,null]"
same out_of_its_app "$(ask GET /structure/app1 | jq -c .containers)" "[]"
same app_goes "$(old DELETE /structure/apps/app1)" 200
as_in_the_beginning() { [ "$(ask GET "/structure/$HOST" | jq -S 'del(.automatic, .host_rescaler_port, .resources.disks)')" = "$beginning" ]; }
check all_shares_are_back as_in_the_beginning
same host_goes "$(old DELETE "/structure/host/$HOST")" 200
registered_anew() { ask GET "/structure/$HOST" | jq -e '.automatic and .resources.disks == null' >/dev/null && has_structure c0; }
check and_registers_anew wait_for registered_anew
check adds_up_in_the_end wait_for adds_up
finish
