#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Controller and agent are killed and come back, and the controller is away for a while: limits stay as
# they are, the state continues, the books add up, and nothing is left behind.
. "$(dirname "$0")/loop.bash"
need_cgroups loop_restart
cores=$(nproc)
[ "$cores" -gt 2 ] && cores=2
# Much longer than it takes to notice a silent host (5 s), and than what the agent keeps of the time without a
# controller (10 s). EBB_TEST_ABSENT=60 is the long form.
absent=${EBB_TEST_ABSENT:-20}

make_cgroup web
make_cgroup db
start_loop
check guard_web guard web 20 $((cores * 100)) 64 512
check guard_db guard db 30 100 64 256
busy web "$cores"
check rises_with_the_load wait_long quota_at_least web $((cores * 60))
check db_is_idle wait_long is_idle db

# --- the controller dies
before=$(ask GET '/decision/?limit=1000' | jq length)
kill_controller KILL
held_web=$(quota web) held_db=$(quota db)
sleep 1
same limits_stay_without_controller "$(quota web) $(quota db)" "$held_web $held_db"
start_controller || not_ok controller_starts_again
check still_guarded_after_restart wait_for eval 'ask GET /structure/web | jq -e .guard >/dev/null'
same range_is_kept "$(resource web cpu min) $(resource web cpu max)" "20 $((cores * 100))"
check adds_up_after_restart wait_for adds_up
check record_agrees_after_restart wait_for in_force web
has_history() { [ "$(ask GET '/decision/?limit=1000' | jq length)" -ge "$before" ]; }
check decisions_are_kept has_history
idle
check scales_after_restart wait_long is_idle web

# --- the agent dies, under load
busy web "$cores"
check rises_again wait_long quota_at_least web $((cores * 60))
kill_agent KILL
held_web=$(quota web)
idle
sleep 1
same limits_stay_without_agent "$(quota web)" "$held_web"
check adds_up_without_agent adds_up
start_feeding_agent || not_ok agent_starts_again
check scales_after_agent_restart wait_long is_idle web
check adds_up_after_agent_restart wait_for adds_up
one_host() { [ "$(ask GET /structure/ | jq '[.[] | select(.subtype == "host")] | length')" = 1 ]; }
check no_second_host one_host

# --- the controller is away for a while, and the world goes on
kill_controller KILL
held_web=$(quota web) held_db=$(quota db)
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$AGENT/status"; }
fds() { find "/proc/$AGENT/fd" | wc -l; }
fds_before=$(fds) rss_before=$(rss)
busy web "$cores"
make_cgroup newcomer
sleep "$absent"
same limits_stay_for_a_while "$(quota web) $(quota db)" "$held_web $held_db"
[ "$(fds)" -le $((fds_before + 8)) ]
same agent_leaks_no_descriptors $? 0
[ "$(rss)" -le $((rss_before + 8192)) ]
same agent_keeps_its_size $? 0
start_controller || not_ok controller_starts_a_third_time
check scales_when_it_is_back wait_long quota_at_least web $((cores * 60))
check newcomer_is_found wait_for has_structure newcomer
check adds_up_in_the_end wait_for adds_up
check record_agrees_in_the_end wait_for in_force db

# --- nothing is left behind
idle
stop_agent TERM
[ ! -e "$PIN" ]
same no_pins_are_left $? 0
kill_controller TERM
finish
