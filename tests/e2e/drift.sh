#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Another hand writes limits of guarded containers: put back until that is given up, accepted, or left
# alone, and on record with who did it.
. "$(dirname "$0")/loop.bash"
need_cgroups drift

memory_is() { [ "$(memory "$1")" = "$2" ]; }
current_is() { [ "$(resource "$1" "$2" current)" = "$3" ]; }
for name in put taken left; do make_cgroup $name; done
start_loop
# Limits stay where they are: it is all about who writes them.
ask PUT /service/guardian/ACTIVE '{"value":false}' >/dev/null
check drift_tries ask PUT /service/scaler/DRIFT_TRIES '{"value":2}'
for name in put taken left; do
	check "guard_$name" guard $name 20 40 64 256
	check "limited_$name" wait_for quota_is $name 40
	check "memory_limited_$name" wait_for memory_is $name 256
done

# write NAME SHARES, write_memory NAME MIB: a process of this name does it.
cp "$(command -v bash)" "$TMP/meddler"
write() {
	local d
	d=$(cg cpu "$1")
	if [ -f "$d/cpu.max" ]; then
		"$TMP/meddler" -c "echo '${2}000 100000' >'$d/cpu.max'; sleep 0.3; :"
	else
		"$TMP/meddler" -c "echo ${2}000 >'$d/cpu.cfs_quota_us'; sleep 0.3; :"
	fi
}
write_memory() {
	local d
	d=$(cg memory "$1")
	if [ -f "$d/memory.max" ]; then
		"$TMP/meddler" -c "echo ${2}M >'$d/memory.max'; sleep 0.3; :"
	else
		"$TMP/meddler" -c "echo ${2}M >'$d/memory.limit_in_bytes'; sleep 0.3; :"
	fi
}
# drifted NAME RESOURCE OUTCOME: the decision is on record.
drifted() {
	ask GET "/decision/?structure=$1&limit=50" >"$TMP/decisions" &&
		jq -e "any(.origin == \"drift\" and .resource == \"$2\" and .outcome == \"$3\")" "$TMP/decisions" >/dev/null
}
# Where the kernel tells who it was (Linux 6.6), that is on record too.
names_the_meddler() {
	grep -q 'this kernel does not tell' "$AGENT_LOG" ||
		jq -e 'any(.origin == "drift" and (.reason | test("by meddler \\(process [0-9]+")))' "$TMP/decisions" >/dev/null
}
is_manual() { ask GET "/structure/$1" | jq -e '.guard == false and (.manual.why | length > 0)' >/dev/null; }

write put 33
check put_back wait_for quota_is put 40
check put_back_is_on_record wait_for drifted put cpu reasserted
check with_who_it_was names_the_meddler
write_memory put 128
check memory_put_back wait_for memory_is put 256
check memory_is_on_record wait_for drifted put mem reasserted

# A hand that goes on: two times, then no more.
persist() {
	for _ in $(seq 60); do
		is_manual put && return 0
		quota_is put 40 && write put 35
		sleep 0.2
	done
	return 1
}
check given_up_to_manual persist
check given_up_is_on_record drifted put cpu manual
write put 37
check what_is_left_alone_is_adopted wait_for current_is put cpu 37
check it_holds quota_is put 37
check ps_shows_it sh -c "'$BUILD/ebb' --controller http://$CONTROLLER_LISTEN ps put | grep -q manual"
check why_shows_it sh -c "'$BUILD/ebb' --controller http://$CONTROLLER_LISTEN why put | grep -q 'manual: cpu changed from 40 to 35 shares'"

check accept_by_container "$BUILD/ebb" --controller "http://$CONTROLLER_LISTEN" set taken drift accept
write taken 30
check accepted wait_for current_is taken cpu 30
check accepted_is_on_record drifted taken cpu accepted
same it_stays "$(quota taken)" 30
write taken 90
check beyond_its_max_is_cut wait_for quota_is taken 40

check manual_by_site ask PUT /service/scaler/DRIFT '{"value":"manual"}'
write left 33
check left_alone wait_for is_manual left
same left_as_it_was "$(quota left)" 33
check the_other_keeps_its_own_policy sh -c "curl -sf http://$CONTROLLER_LISTEN/structure/taken | jq -e '.guard'"
check guarded_again guard left 20 40 64 256
check not_manual_any_more sh -c "curl -sf http://$CONTROLLER_LISTEN/structure/left | jq -e '.manual == null and .guard'"
check adds_up_at_the_end wait_for adds_up
finish
