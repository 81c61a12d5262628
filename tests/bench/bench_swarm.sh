#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A controller on one core, with 1,000, 10,000 and 100,000 guarded containers on hosts of 100, a sample
# of each a second, and 5,000 reads a second beside it: how long decisions take, CPU and memory.
#   tests/bench/bench_swarm.sh [SECONDS [HOSTS...]]
set -u
BUILD=${BUILD:-build}
seconds=${1:-20}
shift
[ $# -gt 0 ] || set -- 10 100 1000
TMP=$(mktemp -d)
CONTROLLER=
finish() {
	[ -n "$CONTROLLER" ] && kill "$CONTROLLER" 2>/dev/null && wait "$CONTROLLER"
	rm -rf "$TMP"
}
trap finish EXIT
ulimit -n "$(ulimit -Hn)"
cpu_s() { awk -v hz="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); print ($12 + $13) / hz}' "/proc/$CONTROLLER/stat"; }
field() { awk -v k="$1:" '$1 == k {printf "%.0f", $2 / 1024}' "/proc/$CONTROLLER/status"; }
last=$(($(nproc) - 1))

for hosts in "$@"; do
	printf -- '-- %d hosts, %d containers\n' "$hosts" $((hosts * 100))
	: >"$TMP/log"
	taskset -c 0 "$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "sqlite:$TMP/$hosts.db" >"$TMP/log" 2>&1 &
	CONTROLLER=$!
	until address=$(sed -n 's/.*listens on \([0-9.:]*\),.*/\1/p' "$TMP/log" 2>/dev/null) && [ -n "$address" ]; do
		kill -0 "$CONTROLLER" 2>/dev/null || { cat "$TMP/log"; exit 1; }
		sleep 0.1
	done
	: >"$TMP/err"
	taskset -c "$last" "$BUILD/tests/bench/controller/swarm" --controller "$address" --hosts "$hosts" --containers 100 --guard \
		--settle $((15 + hosts / 8)) --reads 5000 --seconds "$seconds" >"$TMP/out" 2>"$TMP/err" &
	swarm=$!
	until grep -q measuring "$TMP/err" || ! kill -0 "$swarm" 2>/dev/null; do sleep 0.2; done
	before=$(cpu_s)
	wait "$swarm" || { cat "$TMP/err"; tail -n 3 "$TMP/log"; }
	after=$(cpu_s)
	cat "$TMP/out"
	awk -v a="$before" -v b="$after" -v s="$seconds" -v n=$((hosts * 100)) 'BEGIN {
		printf "controller: %.1f%% of a core, %.2f us a sample with everything else in it\n", (b - a) / s * 100, (b - a) / s / n * 1e6}'
	echo "controller: $(field VmRSS) MiB resident, $(field VmHWM) MiB at most"
	began=$(date +%s%N)
	kill "$CONTROLLER"
	wait "$CONTROLLER"
	CONTROLLER=
	awk -v ns=$(($(date +%s%N) - began)) 'BEGIN {printf "controller: stopped in %.1f s with all hosts gone; ", ns / 1e9}'
	echo "load of the machine: $(cut -d' ' -f1-3 /proc/loadavg)"
done
