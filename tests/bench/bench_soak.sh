#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Agent and controller while containers come and go, ten a second, each with a process: is every one of them seen,
# and does memory stay? Memory at 10%, 50% and 100% of the time and the verdict; exit status 1 when it is bad.
#   tests/bench/bench_soak.sh [MINUTES]      (1)
set -u
BUILD=${BUILD:-build}
minutes=${1:-1}
[[ $minutes =~ ^[1-9][0-9]{0,4}$ ]] || { echo "usage: $0 [MINUTES]" >&2; exit 2; }
name=ebb-soak-$$
tmp=$(mktemp -d)
declare -A pids=()
roots=()
for mount in cpu cpuacct cpuset memory blkio; do
	[ -d "/sys/fs/cgroup/$mount" ] && roots+=("/sys/fs/cgroup/$mount")
done
[ ${#roots[@]} -gt 0 ] || roots=(/sys/fs/cgroup)

ended() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
finish() {
	local pid i root procs
	for pid in "${pids[@]+"${pids[@]}"}"; do
		kill "$pid" 2>/dev/null
		for ((i = 0; i < 100; i++)); do ended "$pid" && break || sleep 0.1; done
		ended "$pid" || kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	for root in "${roots[@]}"; do
		[ -d "$root/$name" ] || continue
		# Only what runs in cgroups of our own.
		for ((i = 0; i < 100; i++)); do
			procs=$(find "$root/$name" -name cgroup.procs -exec cat {} + 2>/dev/null)
			# shellcheck disable=SC2086 # pids
			[ -z "$procs" ] && break || kill -KILL $procs 2>/dev/null
			sleep 0.1
		done
		find "$root/$name" -depth -type d -exec rmdir {} + 2>/dev/null
	done
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

address_in() { # LOG: once it is there
	local i
	for ((i = 0; i < 200; i++)); do
		sed -n 's/.*listen[a-z]* on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$1" | head -n 1 | grep . && return
		sleep 0.1
	done
	cat "$1" >&2
	return 1
}
rss() { awk '/^VmRSS/ {print $2}' "/proc/${pids[$1]}/status" 2>/dev/null; }

# One container: lives about a second. Its process enters before it is anything else.
container() {
	local dirs=("${roots[@]/%//$name/$1}") dir i
	mkdir "${dirs[@]}" || return
	[ ! -e "/sys/fs/cgroup/cpuset/$name/$1" ] ||
		for i in cpus mems; do cat "/sys/fs/cgroup/cpuset/cpuset.$i" >"/sys/fs/cgroup/cpuset/$name/$1/cpuset.$i"; done
	echo "$1" >>"$tmp/made"
	(
		for dir in "${dirs[@]}"; do echo 0 >"$dir/cgroup.procs"; done
		exec sleep 1
	)
	for ((i = 0; i < 100; i++)); do
		rmdir "${dirs[@]}" 2>/dev/null
		[ -d "${dirs[0]}" ] || [ -d "${dirs[-1]}" ] || return 0
		sleep 0.1
	done
}
churn() {
	local n=0 start=$EPOCHREALTIME wait
	trap 'wait; exit 0' TERM
	while :; do
		n=$((n + 1))
		container "c$n" 2>>"$tmp/errors" &
		wait=$((${start/./} + n * 100000 - ${EPOCHREALTIME/./}))
		[ "$wait" -le 0 ] || sleep "$((wait / 1000000)).$(printf %06d $((wait % 1000000)))"
	done
}

for root in "${roots[@]}"; do mkdir "$root/$name" || exit 1; done
if [ -d "/sys/fs/cgroup/cpuset/$name" ]; then
	for file in cpus mems; do cat "/sys/fs/cgroup/cpuset/cpuset.$file" >"/sys/fs/cgroup/cpuset/$name/cpuset.$file"; done
fi
: >"$tmp/made"
"$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "sqlite:$tmp/state.db" >"$tmp/controller" 2>&1 &
pids[controller]=$!
url=http://$(address_in "$tmp/controller") || exit 1
# As its unit runs it.
nice -n -5 "$BUILD/ebb-agent" --listen 127.0.0.1:0 --controller "$url" --name "$name" --containers "$name/*" \
	--pin-dir "/sys/fs/bpf/$name" --name-record none --spool none >"$tmp/agent" 2>&1 &
pids[agent]=$!
address_in "$tmp/agent" >/dev/null || exit 1
churn &
pids[churn]=$!

printf '%6s %12s %16s %8s\n' time 'agent kB' 'controller kB' made
declare -A at=()
started=$SECONDS
for percent in 10 50 100; do
	until [ $((SECONDS - started)) -ge $((minutes * 60 * percent / 100)) ]; do
		sleep 1
		for who in agent controller; do
			ended "${pids[$who]}" && { echo "the $who died:"; tail -n 5 "$tmp/$who"; exit 1; }
		done
	done
	at[agent,$percent]=$(rss agent) at[controller,$percent]=$(rss controller)
	printf '%5d%% %12s %16s %8d\n' "$percent" "${at[agent,$percent]}" "${at[controller,$percent]}" "$(wc -l <"$tmp/made")"
done
kill "${pids[churn]}" && wait "${pids[churn]}"
unset 'pids[churn]'

# Every name that was made, once it is told of; none is left once all have gone.
names() { sed -n "s/.* container \(c[0-9]*\) $1.*/\1/p" "$tmp/agent" | sort -u; }
for ((i = 0; i < 100; i++)); do
	lost=$(sort -u "$tmp/made" | comm -23 - <(names '(') | wc -l)
	stay=$(sort -u "$tmp/made" | comm -23 - <(names 'has gone') | wc -l)
	[ $((lost + stay)) -eq 0 ] && break || sleep 0.1
done
made=$(wc -l <"$tmp/made")
echo "containers: $made made, $((made - lost)) seen, $lost lost, $stay never seen to go"
[ ! -s "$tmp/errors" ] || echo "making containers failed at times: $(sort "$tmp/errors" | uniq -c | sort -rn | head -n 1)"
bad=0
[ "$lost" -eq 0 ] && [ "$stay" -eq 0 ] && [ "$made" -gt 0 ] || bad=1
for who in agent controller; do
	# A tenth, and what an allocator takes at once, is no leak.
	if [ "${at[$who,100]}" -gt $((at[$who,50] + at[$who,50] / 10 + 1024)) ]; then
		echo "$who: memory grew from ${at[$who,50]} to ${at[$who,100]} kB in the second half"
		bad=1
	fi
done
[ $bad -eq 0 ] && echo "verdict: good" || echo "verdict: bad"
exit $bad
