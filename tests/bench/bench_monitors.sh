#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The agent at ten samples a second beside other monitors at one, all watching the same idle cgroups at the same
# time: CPU of each with all that it started, and memory. Debian's packages are unpacked into the peers' cache,
# not installed. What cannot be had is one line.
#   tests/bench/bench_monitors.sh      EBB_BENCH_CONTAINERS="10 100 1000 5000", EBB_BENCH_SECONDS=30
set -u
BUILD=${BUILD:-build}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EBB_PEERS_CACHE:-$here/../../build-peers}/monitors
name=ebb-monitors-$$
tmp=$(mktemp -d)
seconds=${EBB_BENCH_SECONDS:-30}
hz=$(getconf CLK_TCK)
ulimit -n "$(ulimit -Hn)"
declare -A pids=() rate=() before=()
roots=()
for mount in cpu cpuacct memory blkio; do
	[ -d "/sys/fs/cgroup/$mount" ] && roots+=("/sys/fs/cgroup/$mount")
done
[ ${#roots[@]} -gt 0 ] || roots=(/sys/fs/cgroup)

gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
stop() {
	local pid i
	for pid in "${pids[@]+"${pids[@]}"}"; do
		kill "$pid" 2>/dev/null
		for ((i = 0; i < 100; i++)); do gone "$pid" && break || sleep 0.1; done
		gone "$pid" || kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	pids=()
}
remove() {
	local root
	for root in "${roots[@]}"; do
		[ ! -d "$root/$name" ] || find "$root/$name" -depth -type d -exec rmdir {} +
	done
}
finish() {
	stop
	remove
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# unpacked PACKAGE PROGRAM: its path, from the system or the package.
unpacked() {
	local dir=$cache/$1 work
	command -v "${2##*/}" && return
	if [ ! -x "$dir/$2" ]; then
		command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && mkdir -p "$cache" || return 1
		work=$(mktemp -d "$cache/.$1.XXXXXX") || return 1
		(cd "$work" && apt-get download -q "$1") >"$tmp/$1.log" 2>&1 &&
			dpkg-deb -x "$work/$1"_*.deb "$work/root" && rm -rf "$dir" && mv "$work/root" "$dir"
		rm -rf "$work"
	fi
	[ -x "$dir/$2" ] && ! ldd "$dir/$2" 2>/dev/null | grep -q 'not found' && echo "$dir/$2"
}
skip() { echo "skip $1 # Debian's package $2 cannot be had here, or lacks a library"; }
netdata=$(unpacked netdata-core usr/sbin/netdata) || skip netdata netdata-core
atop=$(unpacked atop usr/bin/atop) || skip atop atop
cgtop=$(unpacked systemd usr/bin/systemd-cgtop) || skip systemd-cgtop systemd

# ticks PID: CPU of the process, of what it waited for, and of its children.
ticks() {
	local pid=$1 child sum
	sum=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk '{print $12 + $13 + $14 + $15}')
	for child in $(cat "/proc/$pid/task/"*/children 2>/dev/null); do
		sum=$((${sum:-0} + $(ticks "$child")))
	done
	echo "${sum:-0}"
}
rss() { awk '/^VmRSS/ {printf "%.1f", $2 * 1024 / 1e6}' "/proc/$1/status" 2>/dev/null; }
# start NAME HZ COMMAND...
start() {
	local who=$1
	rate[$who]=$2
	shift 2
	"$@" >"$tmp/$who" 2>&1 </dev/null &
	pids[$who]=$!
}
start_netdata() {
	local plugin v1=no
	[ ${#roots[@]} -eq 1 ] || v1=yes
	mkdir -p "$tmp/nd"
	{
		printf '[global]\nrun as user = root\n[db]\nmode = ram\nupdate every = 1\n[ml]\nenabled = no\n[health]\nenabled = no\n'
		printf '[registry]\nenabled = no\n[statsd]\nenabled = no\n[web]\nmode = none\n[cloud]\nenabled = no\n'
		printf '[directories]\ncache = %s\nlib = %s\nlog = %s\nconfig = %s\n' "$tmp/nd" "$tmp/nd" "$tmp/nd" "$tmp/nd"
		printf 'stock config = %s\nplugins = "%s"\nweb = %s\n' "$tmp/nd" "$tmp/nd" "$tmp/nd"
		echo '[plugins]'
		for plugin in timex proc diskspace idlejitter tc checks statsd apps python.d charts.d node.d go.d ebpf perf \
			slabinfo nfacct fping ioping cups xenstat freeipmi 'netdata monitoring' \
			'netdata monitoring extended' 'enable running new plugins'; do
			echo "$plugin = no"
		done
		printf 'cgroups = yes\n[plugin:cgroups]\nmax cgroups to allow = 10000\n'
		printf 'enable by default cgroups matching = *\nsearch for cgroups in subpaths matching = *\n'
		printf 'enable systemd services = no\n'
		[ $v1 = no ] || printf 'use unified cgroups = no\n'
	} >"$tmp/nd/netdata.conf"
	start netdata 1 "$netdata" -D -c "$tmp/nd/netdata.conf"
}

printf 'cgroups idle, %d processes on the host, %d s each\n' "$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)" "$seconds"
printf '%-11s %-15s %8s %14s %10s\n' containers monitor 'per s' 'CPU of a core' 'RSS'
for n in ${EBB_BENCH_CONTAINERS:-10 100 1000 5000}; do
	# Four directories of each, on v1, are kept open by the agent, four files by the reader.
	if [ $((n * 4 + 500)) -gt "$(ulimit -n)" ]; then
		echo "skip $n containers # $(ulimit -n) descriptors are too few"
		continue
	fi
	for root in "${roots[@]}"; do
		mkdir -p "$root/$name" && (cd "$root/$name" && seq -f 'c%.0f' "$n" | xargs mkdir -p) || exit 1
	done
	start ebb-agent 10 "$BUILD/ebb-agent" --listen 127.0.0.1:0 --name "$name" --containers "$name/*" \
		--max-containers 8192 --pin-dir "/sys/fs/bpf/$name" --name-record none --spool none
	start file-reader 10 "$BUILD/tests/bench/agent/reader" 100 "${roots[@]/%//$name}"
	[ -z "$netdata" ] || start_netdata
	# Zero is not "for ever": so many rounds that it outlives the measurement.
	[ -z "$cgtop" ] || start systemd-cgtop 1 "$cgtop" -b -r -P -d 1 --depth=5 -n $((seconds + 600))
	[ -z "$atop" ] || ATOPACCT='' start atop 1 "$atop" -PPRC,PRM,PRD,CPU,MEM,DSK 1 $((seconds + 600))
	sleep $((10 + n / 200)) # finding all is not what is measured
	for who in "${!pids[@]}"; do before[$who]=$(ticks "${pids[$who]}"); done
	sleep "$seconds"
	for who in ebb-agent file-reader netdata systemd-cgtop atop; do
		pid=${pids[$who]-}
		[ -n "$pid" ] || continue
		if gone "$pid"; then
			echo "skip $who with $n containers # it ended: $(grep -E -m 1 "FATAL|rror" "$tmp/$who" | cut -c1-160)"
			continue
		fi
		awk -v n="$n" -v who="$who" -v rate="${rate[$who]}" -v t=$(($(ticks "$pid") - before[$who])) -v hz="$hz" \
			-v s="$seconds" -v rss="$(rss "$pid")" \
			'BEGIN {printf "%-11d %-15s %8d %13.2f%% %7.1f MB\n", n, who, rate, 100 * t / hz / s, rss}'
	done
	stop
done
