# SPDX-License-Identifier: Apache-2.0
# For the agent's shell tests: an agent with names of its own, cgroups to play with, and an end that
# leaves nothing. Source it; every process that it kills is in a cgroup that it made, or its own child.
set -u
# shellcheck source=tests/check.bash
. "$(dirname "${BASH_SOURCE[0]}")/../check.bash"
BUILD=${BUILD:-build}
TAG=ebb-test-$$
PIN=/sys/fs/bpf/$TAG
TMP=$(mktemp -d)
AGENT=
ADDRESS=
TOKEN=
V1="cpu cpuacct cpuset memory blkio"
MADE=()
MANY=

controllers() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo .; else echo "$V1"; fi
}
# cg CONTROLLER NAME: the directory.
cg() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		echo "/sys/fs/cgroup/$TAG/$2"
	else
		echo "/sys/fs/cgroup/$1/$TAG/$2"
	fi
}
make_cgroup() {
	local c d
	for c in $(controllers); do
		d=$(cg "$c" "$1")
		mkdir -p "$d" || return 1
		if [ "$c" = cpuset ]; then
			cat /sys/fs/cgroup/cpuset/cpuset.mems >"/sys/fs/cgroup/cpuset/$TAG/cpuset.mems"
			cat /sys/fs/cgroup/cpuset/cpuset.cpus >"/sys/fs/cgroup/cpuset/$TAG/cpuset.cpus"
			cat /sys/fs/cgroup/cpuset/cpuset.mems >"$d/cpuset.mems"
			cat /sys/fs/cgroup/cpuset/cpuset.cpus >"$d/cpuset.cpus"
		fi
	done
	MADE+=("$1")
}
remove_cgroup() {
	local c d
	for c in $(controllers); do
		d=$(cg "$c" "$1")
		[ ! -d "$d" ] || wait_for kill_and_rmdir "$d"
	done
	return 0
}
# Kills what is in the directory, and removes it. The list is read as a whole: read line by line, between kills, it
# leaves out processes, because those killed have gone from it. And one that has forked meanwhile is met again.
kill_and_rmdir() {
	local pids pid
	mapfile -t pids < <(cat "$1/cgroup.procs")
	for pid in "${pids[@]}"; do [ "$pid" -eq 0 ] || kill -9 "$pid"; done
	rmdir "$1" || [ ! -d "$1" ]
} 2>/dev/null
# make_many PREFIX N, remove_many PREFIX: idle ones, in bulk.
make_many() {
	local c
	MANY=$1
	for c in $(controllers); do seq -f "$(cg "$c" "$1")%.0f" "$2"; done | xargs mkdir
}
remove_many() {
	local c
	for c in $(controllers); do find "$(cg "$c" "")" -mindepth 1 -maxdepth 1 -type d -name "$1*" -exec rmdir {} +; done
}

# Skips the whole script where cgroups cannot be made.
need_cgroups() {
	if [ "$(id -u)" -ne 0 ]; then
		skip "$1" "needs root, to make cgroups"
		exit 0
	fi
	if ! mkdir "$(cg cpu "")" 2>"$TMP/mkdir"; then
		skip "$1" "no cgroup can be made here: $(cat "$TMP/mkdir")"
		exit 0
	fi
	# v2: the containers get what controllers there are, as from any engine.
	[ "$(controllers)" != . ] || sed 's/\(^\| \)/ +/g' "$(cg . "")/cgroup.controllers" >"$(cg . "")/cgroup.subtree_control"
}

listening() { grep -q 'listening on' "$1"; }
listening_or_dead() { listening "$1" || ! kill -0 "$AGENT" 2>/dev/null; }
# start_agent OPTION...: sets AGENT and ADDRESS; fails when it does not come up.
start_agent() {
	AGENT_LOG=$TMP/agent.log
	: >"$AGENT_LOG" # before the agent does it: the last one's lines must not be taken for its own
	"$BUILD/ebb-agent" --listen 127.0.0.1:0 --pin-dir "$PIN" --name "$TAG" --containers "$TAG/${GLOB:-*}" "$@" \
		2>"$AGENT_LOG" &
	AGENT=$!
	wait_for listening_or_dead "$AGENT_LOG"
	if ! listening "$AGENT_LOG"; then
		cat "$AGENT_LOG" >&2
		return 1
	fi
	ADDRESS=$(sed -n 's/.*listening on //p' "$AGENT_LOG")
}
# Returns the agent's exit status.
stop_agent() {
	local status
	kill "-${1:-TERM}" "$AGENT"
	wait "$AGENT" 2>/dev/null
	status=$?
	AGENT=
	return $status
}

# api METHOD PATH [BODY]: prints the status; the body is in $TMP/body, the headers in $TMP/headers.
api() {
	local args=(-s -o "$TMP/body" -D "$TMP/headers" -w '%{http_code}' -X "$1")
	[ -n "$TOKEN" ] && args+=(-H "Authorization: Bearer $TOKEN")
	[ $# -gt 2 ] && args+=(--data-binary "$3")
	case $ADDRESS in
	unix:*) args+=(--unix-socket "${ADDRESS#unix:}" "http://agent$2") ;;
	*) args+=("http://$ADDRESS$2") ;;
	esac
	curl "${args[@]}"
}
body() { jq -r "$1" "$TMP/body"; }
knows() { [ "$(api GET "/container/$1")" = 200 ]; }
knows_not() { [ "$(api GET "/container/$1")" = 404 ]; }

cleanup() {
	[ -n "$AGENT" ] && kill -9 "$AGENT" 2>/dev/null && wait "$AGENT" 2>/dev/null
	local name
	for name in "${MADE[@]+"${MADE[@]}"}"; do remove_cgroup "$name"; done
	[ -n "$MANY" ] && remove_many "$MANY"
	remove_cgroup ""
	rm -rf "$PIN" "/run/ebb/agent-sys-fs-bpf-$TAG"[.-]* "$TMP"
}
finish() { exit $failed; }
trap cleanup EXIT
trap 'exit 130' INT TERM

# Does the agent filter no system calls here? Not asked of the agent, which is tested.
unfiltered() { grep -q '__[at]san_init' "$BUILD/ebb-agent" || [ ! -e /proc/sys/kernel/seccomp ]; }
# What the agent's threads may do, each different answer once: effective, bounding, new privileges, seccomp.
privileges() {
	local status
	for status in "/proc/$AGENT/task/"*/status; do
		awk '/^(CapEff|CapBnd|NoNewPrivs|Seccomp):/ {v = v " " $2} END {print substr(v, 2)}' "$status"
	done | sort -u
}
