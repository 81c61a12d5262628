#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a person does with a host: as the README says for two hosts, with a token, from `ebb doctor` to
# the number in the cgroup file.
. "$(dirname "$0")/controller.bash"
need_cgroups cli_loop
make_cgroup web

umask 077
TOKEN=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
echo "$TOKEN" >"$TMP/token"
export EBB_TOKEN_FILE=$TMP/token
if ! start_controller --token-file "$TMP/token" || ! start_agent --controller "$CONTROLLER_ADDRESS" --token-file "$TMP/token"; then
	not_ok both_start
	finish
fi
export EBB_AGENT=http://$ADDRESS
quota() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		awk '{ print $1 == "max" ? -1 : $1 * 100 / $2 }' "$(cg . web)/cpu.max"
	else
		cat "$(cg cpu web)/cpu.cfs_quota_us" | awk '{ print $1 < 0 ? -1 : $1 / 1000 }'
	fi
}
appears() { [ "$(ebb ps web)" = 0 ]; }
check appears_by_itself wait_for appears
same is_not_touched_before_it_is_guarded "$(quota)" -1

connected() { ebb doctor >/dev/null && [ "$(ebb doctor)" = 0 ]; }
check doctor_is_content wait_for connected
check doctor_names_the_sampler grep -qE '^(OK|WARN)  *sampler  *(held|walk|files): ' "$TMP/out"
check doctor_sees_the_host grep -qE "^OK  *host  *$TAG: last sample batch" "$TMP/out"
if unfiltered; then
	skip doctor_tells_what_the_agent_may_do "built with a sanitizer, or a kernel without seccomp: system calls are not filtered"
else
	check doctor_tells_what_the_agent_may_do grep -qE \
		'^OK  *privileges  *the agent runs with (no capability|CAP_[A-Z_, ]+); new privileges ruled out, system calls filtered$' "$TMP/out"
fi
same doctor_json "$(ebb doctor --json) $(jq 'map(.verdict) | index("FAIL")' "$TMP/out")" "0 null"

# Idle, so that the rules bring it to its least.
same guard "$(ebb guard web --cpu 30..100 --mem 64M..256M)" 0
quota_is() { [ "$(quota)" = "$1" ]; }
check idle_comes_down_to_min wait_for quota_is 30
same min_above_the_limit "$(ebb set web cpu min 50)" 0
check the_limit_rises_to_min wait_for quota_is 50
same max_of_both "$(ebb guard web --cpu 20..40)" 0
check the_limit_falls_to_max wait_for quota_is 20
explained() { [ "$(ebb why web)" = 0 ] && grep -q 'Rule CpuRescaleDown asked for -' "$TMP/out" && grep -q 'the agent read back' "$TMP/out"; }
check why_explains wait_for explained
same top_shows_the_limit "$(ebb top --once web) $(awk 'NR == 2 { print $1, $4 }' "$TMP/out")" "0 web 20"
same unguard "$(ebb unguard web) $(quota)" "0 20"

# The agent goes: its host is away, its limits stay.
stop_agent
away() { ebb ps web >/dev/null && grep -q '(away)' "$TMP/out"; }
check an_agent_that_went_is_seen wait_for away
same doctor_is_not_content "$(ebb doctor) $(grep -c '^FAIL  *agent ' "$TMP/out") $(grep -c "^WARN  *host  *$TAG" "$TMP/out")" "1 1 1"
same limits_stay "$(quota)" 20
finish
