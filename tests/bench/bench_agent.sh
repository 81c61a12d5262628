#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the agent takes as a whole: CPU and memory of the real programs with idle cgroups, ten
# samples a second, feeding a real controller. cgroup v1 (one directory per controller) or v2.
#   EBB_BENCH_CONTAINERS="10 1000" EBB_BENCH_SECONDS=15 tests/bench/bench_agent.sh
set -eu
BUILD=${BUILD:-build}
name=ebb-bench-$$
tmp=$(mktemp -d)
agent='' controller=''
roots=()
for mount in cpu cpuacct cpuset memory blkio; do
	[ -d "/sys/fs/cgroup/$mount" ] && roots+=("/sys/fs/cgroup/$mount")
done
[ ${#roots[@]} -gt 0 ] || roots=(/sys/fs/cgroup)

stop() {
	local pid
	for pid in $agent $controller; do
		kill "$pid" 2>/dev/null || true
		while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do
			sleep 0.05
		done
	done
	agent='' controller=''
}
finish() {
	stop
	for root in "${roots[@]}"; do
		[ -d "$root/$name" ] && find "$root/$name" -depth -type d -exec rmdir {} +
	done
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

address_in() { # LOG: once it is there
	for _ in $(seq 200); do
		sed -n 's/.*listen[a-z]* on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$1" | head -n 1 | grep . && return
		sleep 0.1
	done
	cat "$1" >&2
	return 1
}
cpu_ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'; }

seconds=${EBB_BENCH_SECONDS:-15}
hz=$(getconf CLK_TCK)
printf '%-11s %14s %10s %10s %10s %18s\n' containers 'CPU of a core' RSS 'anonymous' 'files' 'controller CPU'
for n in ${EBB_BENCH_CONTAINERS:-10 100 1000}; do
	for root in "${roots[@]}"; do
		mkdir -p "$root/$name"
		(cd "$root/$name" && seq -f 'c%.0f' "$n" | xargs mkdir -p)
	done
	"$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "sqlite:$tmp/$n.db" >"$tmp/controller" 2>&1 &
	controller=$!
	url=http://$(address_in "$tmp/controller")
	"$BUILD/ebb-agent" --listen 127.0.0.1:0 --controller "$url" --name "$name" --containers "$name/*" \
		--pin-dir "/sys/fs/bpf/$name" >"$tmp/agent" 2>&1 &
	agent=$!
	address_in "$tmp/agent" >/dev/null
	sleep 3 # registration is not what is measured
	before=$(cpu_ticks $agent) controller_before=$(cpu_ticks $controller)
	sleep "$seconds"
	awk -v n="$n" -v ticks=$(($(cpu_ticks $agent) - before)) -v hz="$hz" -v s="$seconds" \
		-v controller=$(($(cpu_ticks $controller) - controller_before)) '
		/^VmRSS/ {rss = $2} /^RssAnon/ {anon = $2} /^RssFile/ {file = $2} /^RssShmem/ {file += $2}
		END {printf "%-11d %13.2f%% %7.1f MB %7.1f MB %7.1f MB %17.2f%%\n", n, 100 * ticks / hz / s,
			rss * 1024 / 1e6, anon * 1024 / 1e6, file * 1024 / 1e6, 100 * controller / hz / s}' "/proc/$agent/status"
	stop
done
