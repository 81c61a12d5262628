#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The database fails in every way, while agent and controller run: guarding goes on from memory, /heartbeat
# tells, and afterwards every document says what the API says.
. "$(dirname "$0")/couch.bash"
need_peer couchdb_double couch_faults
need_cgroups couch_faults
cores=$(nproc)
[ "$cores" -gt 2 ] && cores=2
most=$((cores * 100))

make_cgroup web
make_cgroup db
start_couchdb_double || exit 1
STATE=$COUCHDB_STATE
start_loop
check guard_web guard web 20 "$most" 64 512
check guard_db guard db 20 "$most" 64 256
check rests within 40 is_idle web
check agrees_at_first converges

max=$most
modes() { control "$COUCHDB" "$1" >"$TMP/control"; }
reachable() { [ "$(heartbeat .state.reachable)" = "$1" ]; }
# What /heartbeat tells: that it cannot be reached, or that it does not take documents.
in_trouble() { [ "$(heartbeat '.state | (.reachable | not) or (.queued > 0 and .last_error != "")')" = true ]; }
# Asked for over the API: the state that must not be lost.
change_max() {
	max=$((max == most ? most - 10 : most))
	ask PUT /structure/db/resources/cpu/max "{\"value\":$max}" >"$TMP/changed"
}
# A container for each fault: one that rises and falls again and again is let fall more and more patiently.
prepare() {
	make_cgroup "$1"
	check "$1_is_guarded" guard "$1" 20 "$most" 64 256
	check "$1_rests" within 40 is_idle "$1"
}
# goes_on NAME: up and down with the load, and changes over the API are taken.
goes_on() {
	busy "$1" "$cores"
	check "$1_rises" within 40 quota_at_least "$1" 45
	check "$1_takes_changes" within 20 change_max
	check "$1_tells" within 40 in_trouble
	idle
	check "$1_falls" within 40 is_idle "$1"
	check "$1_adds_up" within 20 adds_up
}
# comes_back NAME
comes_back() {
	check "$1_is_over" within 40 reachable true
	check "$1_converges" converges
	same "$1_loses_nothing" "$(field structures db .resources.cpu.max)" "$max"
	check "$1_limits_are_in_force" within 20 in_force "$1"
	remove_cgroup "$1"
}
# fault NAME MODES MODES-BACK
fault() {
	prepare "$1"
	modes "$2"
	goes_on "$1"
	modes "$3"
	comes_back "$1"
}

prepare stopped
kill_couchdb_double
goes_on stopped
restart_couchdb_double
comes_back stopped

prepare half_open
kill -STOP "${PEER_PID[couchdb_double]}"
goes_on half_open
kill -CONT "${PEER_PID[couchdb_double]}"
comes_back half_open

fault hanging '{"fail":"hang","mute":true}' '{"fail":null,"mute":false,"drop_feeds":true}'
fault error_500 '{"fail":500,"fail_path":"_bulk_docs"}' '{"fail":null,"fail_path":""}'
fault disk_full '{"disk_full":true}' '{"disk_full":null}'
fault disk_full_507 '{"disk_full":507}' '{"disk_full":null}'
fault too_many_requests '{"fail":429,"retry_after":1}' '{"fail":null,"retry_after":null}'
fault wrong_password '{"users":{"admin":{"password":"changed","admin":true}},"drop_feeds":true}' \
	'{"users":{"admin":{"password":"adminpw","admin":true}}}'
check wrong_password_was_said grep -q 'password is wrong' "$CONTROLLER_LOG"
same password_is_not_in_the_log "$(grep -c adminpw "$CONTROLLER_LOG")" 0

# --- what is not as bad: nothing is seen of it
# bears NAME MODES MODES-BACK: edits by hand still arrive, decisions still are written.
bears() {
	modes "$2"
	local value
	value=$(($(ask GET /structure/web/limits/cpu | jq .boundary) % 40 + 3))
	check "$1_edit" edit limits web ".resources.cpu.boundary = $value"
	check "$1_edit_arrives" within 40 eval "[ \"\$(ask GET /structure/web/limits/cpu | jq .boundary)\" = $value ]"
	check "$1_takes_changes" within 20 change_max
	check "$1_writes" within 40 field_is structures db .resources.cpu.max "$max"
	modes "$3"
	check "$1_converges" converges
}
bears feed_cut '{"cut_feed":700,"drop_feeds":true}' '{"cut_feed":null}'
bears feed_dropped '{"drop_feeds":true}' '{}'
bears slow_bytes '{"slow":true,"drop_feeds":true}' '{"slow":false,"drop_feeds":true}'
bears lost_replies '{"fail":"lost","fail_path":"_bulk_docs","fail_next":3}' '{"fail":null,"fail_path":""}'
bears late '{"delay_ms":400}' '{"delay_ms":0}'

# --- databases that go, and are made again
for db in $DATABASES; do couch DELETE "$db" >"$TMP/deleted"; done
check deleted_databases_come_back within 40 field_is structures web .guard true
check deleted_converge converges
check rules_are_back field_is rules CpuRescaleUp .active true
couch DELETE structures >"$TMP/deleted"
couch PUT structures >"$TMP/deleted"
check recreated_is_filled within 40 field_is structures web .guard true
check recreated_converges converges
bears after_the_recreation '{}' '{}'
busy web "$cores"
check scales_in_the_end within 40 quota_at_least web 45
idle
check falls_in_the_end within 40 is_idle web
check agrees_in_the_end converges

# --- the next controller finds it all
kill_controller KILL
start_controller || not_ok controller_starts_again
check still_guarded within 20 eval '[ "$(ask GET /structure/web | jq .guard)" = true ]'
same change_is_kept "$(resource db cpu max)" "$max"
check adds_up_in_the_end within 20 adds_up
finish
