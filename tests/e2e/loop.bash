# SPDX-License-Identifier: Apache-2.0
# For the shell tests of the whole loop: agent.bash, and a controller beside the agent. Source it.
. "$(dirname "${BASH_SOURCE[0]}")/agent.bash"
CONTROLLER=
CONTROLLER_LISTEN=127.0.0.1:0
STATE=sqlite:$TMP/state/state.db
HOST=$TAG
BUSY=()

says_address() { grep -q 'listens on' "$1" || ! kill -0 "$CONTROLLER" 2>/dev/null; }
# Starts the controller, at the port it had before when it ran before.
start_controller() {
	local address
	CONTROLLER_LOG=$TMP/controller.log
	: >"$CONTROLLER_LOG" # before the controller does it: the last one's lines must not be taken for its own
	"$BUILD/ebb-controller" --listen "$CONTROLLER_LISTEN" --state "$STATE" \
		--audit "$TMP/audit.jsonl" "$@" 2>"$CONTROLLER_LOG" &
	CONTROLLER=$!
	wait_for says_address "$CONTROLLER_LOG"
	address=$(sed -n 's/.*listens on \([^ ,]*\).*/\1/p' "$CONTROLLER_LOG")
	if [ -n "$address" ]; then
		CONTROLLER_LISTEN=$address
		return
	fi
	cat "$CONTROLLER_LOG" >&2
	return 1
}
# Needs the cgroups of need_cgroups().
start_loop() {
	prefer_loads
	start_controller && start_feeding_agent && return
	not_ok loop_starts
	finish
}
# Returns the controller's exit status.
kill_controller() {
	local status
	[ -n "$CONTROLLER" ] || return 0
	kill "-$1" "$CONTROLLER" 2>/dev/null
	wait "$CONTROLLER" 2>/dev/null
	status=$?
	CONTROLLER=
	return $status
}
# The agent that start_agent of agent.bash starts, feeding this controller.
# Without the reflex, which would raise limits before the guardian does, unless REFLEX=on.
start_feeding_agent() {
	start_agent --controller "http://$CONTROLLER_LISTEN" --reflex "${REFLEX:-off}" "$@"
}
kill_agent() {
	[ -n "$AGENT" ] || return 0
	kill "-$1" "$AGENT" 2>/dev/null
	wait "$AGENT" 2>/dev/null
	AGENT=
}

# ask METHOD PATH [BODY]: the controller's answer on standard output; fails unless it is 200.
ask() {
	local args=(-s -X "$1" -w '\n%{http_code}') answer
	[ $# -gt 2 ] && args+=(--data-binary "$3")
	answer=$(curl "${args[@]}" "http://$CONTROLLER_LISTEN$2") || return
	# A redirect is no answer: curl's own -f takes it for one.
	[[ ${answer##*$'\n'} = 2?? ]] || return 22
	printf '%s\n' "${answer%$'\n'*}"
}
has_structure() { ask GET "/structure/$1" >/dev/null; }
# resource NAME RESOURCE FIELD: a number of the structure's document.
resource() { ask GET "/structure/$1" | jq -r ".resources.$2.$3"; }
# guard NAME CPU_MIN CPU_MAX MEM_MIN MEM_MAX
guard() {
	wait_for has_structure "$1" &&
		ask PUT "/structure/$1/resources/cpu/min" '{"value":1}' >/dev/null &&
		ask PUT "/structure/$1/resources/mem/min" '{"value":64}' >/dev/null &&
		ask PUT "/structure/$1/resources/cpu/max" "{\"value\":$3}" >/dev/null &&
		ask PUT "/structure/$1/resources/cpu/min" "{\"value\":$2}" >/dev/null &&
		ask PUT "/structure/$1/resources/mem/max" "{\"value\":$5}" >/dev/null &&
		ask PUT "/structure/$1/resources/mem/min" "{\"value\":$4}" >/dev/null &&
		ask PUT "/structure/$1/guard" >/dev/null
}

# --- what the kernel has in force
# quota NAME: shares; nothing when unlimited.
quota() {
	local us d
	d=$(cg cpu "$1")
	if [ -f "$d/cpu.max" ]; then
		read -r us _ <"$d/cpu.max"
	else
		us=$(<"$d/cpu.cfs_quota_us")
	fi
	[ "$us" = max ] || [ "$us" -lt 0 ] || echo $((us / 1000))
}
# memory NAME: MiB; nothing when unlimited.
memory() {
	local bytes d
	d=$(cg memory "$1")
	if [ -f "$d/memory.max" ]; then
		bytes=$(<"$d/memory.max")
	else
		bytes=$(<"$d/memory.limit_in_bytes")
	fi
	[ "$bytes" = max ] || [ ${#bytes} -gt 15 ] || echo $((bytes >> 20))
}
oom_kills() {
	local d
	d=$(cg memory "$1")
	if [ -f "$d/memory.events" ]; then
		sed -n 's/^oom_kill //p' "$d/memory.events"
	else
		sed -n 's/^oom_kill //p' "$d/memory.oom_control"
	fi
}
quota_is() { [ "$(quota "$1")" = "$2" ]; }
quota_at_least() { [ "$(quota "$1")" -ge "$2" ] 2>/dev/null; }
quota_at_most() { [ "$(quota "$1")" -le "$2" ] 2>/dev/null; }
memory_at_least() { [ "$(memory "$1")" -ge "$2" ] 2>/dev/null; }
memory_at_most() { [ "$(memory "$1")" -le "$2" ] 2>/dev/null; }
# At its min of 20 or 30, or so near that the way is not worth an order.
is_idle() { quota_at_most "$1" 35; }
# For what may take longer than one wait_for lets it; the bound is for failures only.
wait_long() { wait_for "$@" || wait_for "$@" || wait_for "$@" || wait_for "$@"; }

# --- loads
# What else the machine does must not keep the loads from the CPU that the tests wait for them to use: four
# parts of five. With twenty times the share of all else, controllers and database had to wait 7 s for a CPU.
prefer_loads() {
	local d
	d=$(cg cpu "")
	echo 4096 >"$d/cpu.shares"
	echo 400 >"$d/cpu.weight"
} 2>/dev/null
# enter NAME COMMAND...: runs it inside the container's cgroups, in place of this (sub)shell.
enter() {
	local name=$1 c
	shift
	for c in $(controllers); do echo "$BASHPID" >"$(cg "$c" "$name")/cgroup.procs" || exit 1; done
	exec "$@"
}
# How many CPUs a load takes: two, so that a quota of more than one is seen; emulated, one, and all else has the other.
load_cpus() {
	if [ -n "${EBB_TEST_EMULATED:-}" ] || [ "$(nproc)" = 1 ]; then echo 1; else echo 2; fi
}
# busy NAME N: N processes that use all the CPU they get.
busy() {
	local i
	for i in $(seq "$2"); do
		(enter "$1" bash -c 'while :; do :; done') &
		BUSY+=("$!")
		disown
	done
}
idle() {
	local pid
	for pid in "${BUSY[@]+"${BUSY[@]}"}"; do kill -9 "$pid" 2>/dev/null; done
	BUSY=()
}

# --- the books
adds_up() {
	ask GET /structure/ >"$TMP/structures" || return 1
	jq -e --arg host "$HOST" -f "$(dirname "${BASH_SOURCE[0]}")/adds_up.jq" "$TMP/structures" >/dev/null
}
# in_force NAME [CGROUP]: the record in one piece, for what changes between two questions agrees with neither.
in_force() {
	local cgroup=${2:-$1} cpu allocated mem
	read -r cpu allocated mem < <(ask GET "/structure/$1" |
		jq -r '.resources | "\(.cpu.current) \(.cpu.allocated) \(.mem.current)"') &&
		[ "$(quota "$cgroup")" = "$cpu" ] && [ "$(memory "$cgroup")" = "$mem" ] && [ "$allocated" = "$cpu" ]
}
# The sum of these containers' quotas.
quotas() {
	local sum=0 name
	for name; do sum=$((sum + $(quota "$name"))); done
	echo "$sum"
}
each_quota() {
	local name
	for name; do printf '%s ' "$(quota "$name")"; done
}
# Are these containers given more than LIMIT? They are read one after another, and one that falls
# before another rises would look like too much: only what two readings agree on counts.
more_than() { # LIMIT NAME...
	local limit=$1 first
	shift
	first=$(each_quota "$@")
	[ "$(quotas "$@")" -gt "$limit" ] && [ "$first" = "$(each_quota "$@")" ] &&
		[ "$(quotas "$@")" -gt "$limit" ]
}
explain() {
	jq -c '.[] | [.name, .guard, .resources]' "$TMP/structures" >&2 2>/dev/null
	tail -n 20 "${CONTROLLER_LOG:-$TMP/controller.log}" "$AGENT_LOG" >&2 2>/dev/null
	ask GET '/decision/?limit=12' 2>/dev/null | jq -c '.[] | [.structure, .resource, .origin, .rule,
		.current, .planned, .applied, .outcome, .reason]' >&2
}
finish() {
	[ "$failed" -ne 0 ] && explain
	exit "$failed"
}

loop_cleanup() {
	[ -n "$CONTROLLER" ] && kill -9 "$CONTROLLER" 2>/dev/null && wait "$CONTROLLER" 2>/dev/null
	cleanup
}
trap loop_cleanup EXIT
