#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How the agent starts, finds containers as they come and go, and ends: nothing stays behind but limits.
. "$(dirname "$0")/agent.bash"
need_cgroups agent_lifecycle

pins() { find "$PIN" 2>/dev/null | wc -l; }
lock() { ls "/run/ebb/agent-sys-fs-bpf-$TAG.lock" 2>/dev/null | wc -l; }
log_has() { grep -q -- "$1" "$AGENT_LOG"; }
sampler() { sed -n 's/.*, sampler \([a-z]*\):.*/\1/p' "$AGENT_LOG"; }
# metric NAME CONTAINER: the value.
metric() {
	api GET /metrics >/dev/null
	sed -n "s/^$1{.*name=\"$2\".*} //p" "$TMP/body"
}
sees_cpu() { awk -v t="$(metric container_cpu_usage_seconds_total "$1")" 'BEGIN { exit !(t > 0.05) }'; }
sees_memory() { [ "$(metric container_memory_usage_bytes "$1")" -gt $((20 << 20)) ]; }
has_memory() { api GET "/container/$1" >/dev/null; [ "$(body '.mem|has("mem_limit")')" = true ]; }
# A process in all cgroups of $1 that uses some CPU, and not all that the agent needs too, and holds 20 MiB, until
# the cgroup is removed.
busy() {
	(
		for c in $(controllers); do echo "$BASHPID" >"$(cg "$c" "$1")/cgroup.procs"; done
		head -c 30M /dev/zero | tail -c 30M | sleep 1000 &
		while :; do
			for ((i = 0; i < 2000; i++)); do :; done
			sleep 0.1
		done
	) &
	disown
}

# --- Containers come and go.
make_cgroup early
if ! start_agent; then
	not_ok agent_starts
	finish
fi
check found_at_start knows early
make_cgroup late
check appears_after_mkdir wait_for knows late
check joined_by_its_memory_cgroup wait_for has_memory late
remove_cgroup late
check disappears_after_rmdir wait_for knows_not late
make_cgroup late
check appears_again wait_for knows late
busy late
check is_sampled wait_for sees_cpu late
check memory_is_sampled wait_for sees_memory late
remove_cgroup late
make_cgroup early/nested
check nested_is_no_container_of_its_own knows_not nested
remove_cgroup early/nested

# --- One agent per pin directory.
"$BUILD/ebb-agent" --listen 127.0.0.1:0 --pin-dir "$PIN" --containers "$TAG/*" 2>"$TMP/second.log"
same second_agent_fails $? 1
check second_agent_says_why grep -q 'another agent runs with pin directory' "$TMP/second.log"
check first_agent_goes_on knows early

# --- Ends. The limits stay, the pins go.
with_bpf=yes
[ "$(pins)" -gt 0 ] || with_bpf=no
api PUT /container/early '{"cpu":{"cpu_allowance_limit":42}}' >/dev/null
check clean_stop stop_agent
same clean_stop_leaves_no_pin "$(pins)" 0
same clean_stop_leaves_no_lock "$(lock)" 0
check interrupt_starts start_agent
same limits_stay "$(api GET /container/early) $(body .cpu.cpu_allowance_limit)" "200 42"
check interrupt_is_clean_too stop_agent INT
same interrupt_leaves_no_pin "$(pins)" 0

if [ $with_bpf = yes ]; then
	start_agent
	stop_agent KILL
	check kill_leaves_pins [ "$(pins)" -gt 0 ]
	make_cgroup while_away
	busy while_away
	check starts_over_old_pins start_agent
	check finds_what_came_meanwhile knows while_away
	check samples_after_a_kill wait_for sees_cpu while_away
	check stops_after_a_kill stop_agent
	same no_pin_after_a_kill_and_a_stop "$(pins)" 0
else
	skip kill_leaves_pins "no BPF here: $(grep -m1 BPF "$AGENT_LOG")"
fi

# --- Every way of sampling: the same containers, the same counters.
make_cgroup worker
busy worker
for kind in files walk held; do
	if ! start_agent --sampler "$kind" 2>/dev/null; then
		if log_has "--sampler=$kind needs BPF" || log_has "$kind"; then
			skip "sampler_$kind" "$(tail -n1 "$AGENT_LOG" | cut -c1-120)"
		else
			not_ok "sampler_$kind" "$(cat "$AGENT_LOG")"
		fi
		continue
	fi
	same "sampler_$kind" "$(sampler)" "$kind"
	check "sampler_${kind}_sees_cpu" wait_for sees_cpu worker
	check "sampler_${kind}_sees_memory" wait_for sees_memory worker
	make_cgroup new
	check "sampler_${kind}_finds_new" wait_for knows new
	remove_cgroup new
	check "sampler_${kind}_forgets" wait_for knows_not new
	check "sampler_${kind}_stops" stop_agent
done

# --- Without BPF there is less comfort, and the same service.
if command -v setpriv >/dev/null; then
	printf '#!/bin/sh\nexec setpriv --bounding-set -sys_admin,-bpf,-perfmon --inh-caps -sys_admin,-bpf,-perfmon %s "$@"\n' \
		"$(readlink -f "$BUILD/ebb-agent")" >"$TMP/ebb-agent"
	chmod +x "$TMP/ebb-agent"
	real=$BUILD BUILD=$TMP
	check blind_starts start_agent
	BUILD=$real
	check blind_says_so log_has "no BPF"
	same blind_sampler "$(sampler)" files
	check blind_samples wait_for sees_cpu worker
	make_cgroup new
	check blind_finds_by_looking wait_for knows new
	remove_cgroup new
	check blind_forgets wait_for knows_not new
	check blind_stops stop_agent
else
	skip blind_starts "no setpriv(1) to take capabilities away"
fi
same nothing_is_left "$(pins) $(lock)" "0 0"

if [ -n "${EBB_TEST_EMULATED:-}" ]; then
	skip who_may_ask_and_settings "no matter of the kernel's: run on the host, left out where the machine is emulated"
	finish
fi

# --- Who may ask.
printf 'a-secret-of-enough-characters\n' >"$TMP/token"
chmod 600 "$TMP/token"
check token_starts start_agent --token-file "$TMP/token"
order='{"cpu":{"cpu_allowance_limit":77}}'
same token_missing "$(api PUT /container/early "$order")" 401
TOKEN=a-wrong-secret-of-the-same-length
same token_wrong "$(api PUT /container/early "$order")" 401
same token_wrong_changed_nothing "$(api GET /container/early) $(body .cpu.cpu_allowance_limit)" "200 42"
TOKEN=a-secret-of-enough-characters
same token_right "$(api PUT /container/early "$order") $(body .cpu.cpu_allowance_limit)" "201 77"
TOKEN=
same heartbeat_needs_no_token "$(api GET /heartbeat)" 200
check token_is_not_logged [ "$(grep -c a-secret "$AGENT_LOG")" = 0 ]
stop_agent
chmod 644 "$TMP/token"
refuses() {
	"$BUILD/ebb-agent" --pin-dir "$PIN" "$@" 2>"$TMP/refused"
	[ $? = 1 ]
}
check token_others_can_read refuses --listen 127.0.0.1:0 --token-file "$TMP/token"
check open_without_token_is_refused refuses --listen 0.0.0.0:0
check open_without_token_says_what_to_do grep -q -- '--token-file' "$TMP/refused"
check bad_period_is_refused refuses --listen 127.0.0.1:0 --period 5
check bad_address_is_refused refuses --listen 127.0.0.1:notaport
check bad_controller_is_refused refuses --listen 127.0.0.1:0 --controller nonsense
same refused_leaves_no_pin "$(pins)" 0

check unix_socket_starts start_agent --listen "unix:$TMP/agent.sock"
same unix_socket_address "$ADDRESS" "unix:$TMP/agent.sock"
same unix_socket "$(api GET /container/early) $(body .cpu.cpu_allowance_limit)" "200 77"
check unix_socket_stops stop_agent

# --- Settings from a file.
cat >"$TMP/agent.ini" <<END
[agent]
period = 50
exclude = early
END
check config_file_starts start_agent --config "$TMP/agent.ini"
check config_file_excludes knows_not early
check config_file_others wait_for knows worker
check config_file_stops stop_agent
same nothing_left "$(pins) $(lock)" "0 0"
finish
