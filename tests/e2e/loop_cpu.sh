#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A load starts and its quota rises; it stops and the quota falls; every change has its reason on record.
. "$(dirname "$0")/loop.bash"
need_cgroups loop_cpu
cores=$(load_cpus)

make_cgroup web
start_loop
check container_appears_by_itself wait_for has_structure web
same not_guarded_by_itself "$(ask GET /structure/web | jq -r .guard)" false
check guard guard web 20 $((cores * 100)) 64 512
check idle_falls_to_min wait_long is_idle web
check adds_up_idle wait_for adds_up

busy web "$cores"
check rises_with_the_load wait_long quota_at_least web $((cores * 60))
check stays_within_max quota_at_most web $((cores * 100))
check record_agrees_with_the_kernel wait_for in_force web
check adds_up_busy wait_for adds_up

idle
check falls_when_the_load_ends wait_long is_idle web
check record_agrees_after_the_fall wait_for in_force web
check adds_up_afterwards wait_for adds_up

has_reasons() {
	ask GET '/decision/?structure=web&limit=1000' | jq -e '
		[.[] | select(.origin == "guardian" and .resource == "cpu" and .outcome == "applied")] |
		any(.requested > 0 and .rule != "" and .applied_ms > 0 and .usage != null) and
		any(.requested < 0 and .rule != "")' >/dev/null
}
check every_direction_has_its_reason has_reasons

# The same once more, from what is on record: of the file, and of the controller.
same_again() {
	"$BUILD/ebb" simulate --from-audit "$1" >"$TMP/replayed" || { cat "$TMP/replayed" >&2; return 1; }
	jq -es 'last.replayed | .differences == 0 and .amounts > 1 and .plans > 1' "$TMP/replayed" >/dev/null
}
check decisions_of_the_file_come_out_the_same same_again "$TMP/audit.jsonl"
check decisions_of_the_controller_come_out_the_same same_again "http://$CONTROLLER_LISTEN"

# An operator's limit on top: the limit follows at once, up to it and no further.
ask PUT /structure/web/resources/cpu/max '{"value":60}' >/dev/null
busy web "$cores"
check a_lower_max_holds wait_long quota_is web 60
ask PUT /structure/web/unguard >/dev/null
idle
check adds_up_unguarded wait_for adds_up

stop_agent TERM
same agent_ends_cleanly $? 0
kill_controller TERM
same controller_ends_cleanly $? 0
same limits_stay_when_all_ends "$(quota web)" 60
finish
