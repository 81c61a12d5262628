#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole loop on this machine, live: a controller, an agent and two cgroups whose limits follow their
# load, for a minute. Everything it makes carries its own process number and is gone at the end.
#   BUILD=build packaging/demo.sh        EBB_DEMO_SECONDS=60
set -u
BUILD=${BUILD:-build}
seconds=${EBB_DEMO_SECONDS:-60}
mine=ebb-demo-$$
pins=/sys/fs/bpf/$mine
cgroup_root=/sys/fs/cgroup
names=(demo-cpu demo-mem)
controller='' agent='' meter='' top='' loads=() dirs=() enabled=() left=()
controller_url='' work=''

say() { printf '%s\n' "$*"; }
die() {
	printf 'demo: %s\n' "$1" >&2
	shift
	for log in "$@"; do
		[ -s "$log" ] && { printf -- '--- the end of %s\n' "${log##*/}" >&2; tail -n 15 "$log" >&2; }
	done
	exit 1
}

# --- leaving nothing behind -------------------------------------------------------------------------

# Whether a process has ended; a zombie has. Asked without `wait`, from which a trap that exits leaves
# bash with SIGCHLD blocked: a later `wait` may then never return.
ended() {
	local state
	read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" || return 0
	[ "$state" = Z ]
}

# Ends processes that were started here: asks, gives them up to 5 s, insists. Those that stay are in `left`.
stop() {
	local pid n
	for pid in "$@"; do kill -TERM "$pid" 2>/dev/null; done
	for pid in "$@"; do
		for ((n = 0; n < 50; n++)); do
			ended "$pid" && break
			sleep 0.1
		done
		ended "$pid" && continue
		kill -KILL "$pid" 2>/dev/null
		for ((n = 0; n < 20; n++)); do
			ended "$pid" && continue 2
			sleep 0.1
		done
		left+=("process $pid")
	done
}

# Fails, and says what is left, when not all of it is gone.
cleanup() {
	local n state=/run/ebb/agent-sys-fs-bpf-$mine
	left=()
	trap '' INT TERM HUP
	trap - EXIT
	[ -n "$top" ] && stop "$top"
	[ -n "$meter" ] && stop "$meter"
	[ ${#loads[@]} -gt 0 ] && stop "${loads[@]}"
	[ -n "$agent" ] && stop "$agent"
	[ -n "$controller" ] && stop "$controller"
	# Deepest first; the kernel lets a cgroup go some moments after its last process.
	for ((n = ${#dirs[@]} - 1; n >= 0; n--)); do
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			[ -d "${dirs[n]}" ] || break
			rmdir "${dirs[n]}" 2>/dev/null || sleep 0.1
		done
		[ -d "${dirs[n]}" ] && left+=("${dirs[n]}")
	done
	for n in ${enabled[@]+"${enabled[@]}"}; do
		{ echo "-$n" >"$cgroup_root/cgroup.subtree_control"; } 2>/dev/null ||
			left+=("controller $n from $cgroup_root/cgroup.subtree_control")
	done
	# The agent removes its pins when it stops; after a crash they are still there.
	# So is what it leaves for the agent after it: its lock, its counts of I/O, its term.
	for n in "$pins" "$state".* ${work:+"$work"}; do
		rm -rf "$n" 2>/dev/null
		[ -e "$n" ] && left+=("$n")
	done
	[ ${#left[@]} -eq 0 ] && return
	printf 'demo: could not remove %s\n' "${left[@]}" >&2
	return 1
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- cgroups --------------------------------------------------------------------------------------------

# Mount point of a v1 controller; nothing when the host has none.
v1_mount() {
	awk -v c="$1" '{
		for (i = 1; i <= NF && $i != "-"; i++);
		if ($(i + 1) != "cgroup") next
		n = split($(i + 3), options, ",")
		for (j = 1; j <= n; j++) if (options[j] == c) { print $5; exit }
	}' /proc/self/mountinfo
}

make_dir() {
	[ -d "$1" ] && return
	mkdir "$1" || die "cannot make the cgroup $1"
	dirs+=("$1")
}

make_v1() {
	local controller name mount
	for controller in cpu cpuacct cpuset memory blkio; do
		mount=$(v1_mount "$controller")
		[ -n "$mount" ] || continue
		for name in "" "${names[@]}"; do
			make_dir "$mount/$mine${name:+/$name}"
			# A new cpuset is empty and takes no process before it has CPUs and memory nodes.
			if [ "$controller" = cpuset ]; then
				local parent=$mount dir=$mount/$mine
				[ -n "$name" ] && parent=$dir dir=$dir/$name
				cat "$parent/cpuset.cpus" >"$dir/cpuset.cpus"
				cat "$parent/cpuset.mems" >"$dir/cpuset.mems"
			fi
		done
	done
}

make_v2() {
	local controller name
	for controller in cpu memory cpuset io; do
		grep -qw "$controller" "$cgroup_root/cgroup.controllers" || continue
		if ! grep -qw "$controller" "$cgroup_root/cgroup.subtree_control"; then
			echo "+$controller" 2>/dev/null >"$cgroup_root/cgroup.subtree_control" || continue
			enabled+=("$controller")
		fi
	done
	make_dir "$cgroup_root/$mine"
	for controller in $(<"$cgroup_root/cgroup.subtree_control"); do
		echo "+$controller" 2>/dev/null >"$cgroup_root/$mine/cgroup.subtree_control"
	done
	for name in "${names[@]}"; do make_dir "$cgroup_root/$mine/$name"; done
}

# Starts a load inside the cgroups of a name.
start_load() {
	local name=$1 into
	shift
	mapfile -t into < <(printf '%s\n' "${dirs[@]}" | grep "/$name\$")
	# shellcheck disable=SC2016 # expanded by the inner shell
	setsid bash -c 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 1; shift; done
		shift; exec "$@"' load "${into[@]}" -- "$@" &
	loads+=($!)
}

# --- how much of what was given out was used: from the cgroup files, twice a second ---------------------------

read_file() { [ -r "$1" ] && read -r REPLY <"$1"; }

# Prints "TIME CPU_USED_US QUOTA_US PERIOD_US MEM_USED MEM_LIMIT"; -1 for unlimited.
measure() {
	local cpu=$1 acct=$2 cpu_mem=$3 used quota period mem limit
	if [ -n "$version2" ]; then
		used=$(awk '$1 == "usage_usec" { print $2 }' "$cpu/cpu.stat")
		read -r quota period <"$cpu/cpu.max"
		[ "$quota" = max ] && quota=-1
		read_file "$cpu_mem/memory.current" && mem=$REPLY
		read_file "$cpu_mem/memory.max" && limit=$REPLY
		[ "$limit" = max ] && limit=-1
	else
		read_file "$acct/cpuacct.usage" && used=$((REPLY / 1000))
		read_file "$cpu/cpu.cfs_quota_us" && quota=$REPLY
		read_file "$cpu/cpu.cfs_period_us" && period=$REPLY
		read_file "$cpu_mem/memory.usage_in_bytes" && mem=$REPLY
		read_file "$cpu_mem/memory.limit_in_bytes" && limit=$REPLY
		[ "${#limit}" -ge 16 ] && limit=-1
	fi
	echo "$EPOCHREALTIME $used $quota $period $mem $limit"
}

run_meter() {
	trap 'exit 0' TERM
	while :; do
		measure "$(dir_for cpu demo-cpu)" "$(dir_for cpuacct demo-cpu)" "$(dir_for memory demo-mem)"
		sleep 0.5
	done >"$work/meter" 2>/dev/null
}
dir_for() {
	if [ -n "$version2" ]; then echo "$cgroup_root/$mine/$2"; else echo "$(v1_mount "$1")/$mine/$2"; fi
}

# --- the parts ----------------------------------------------------------------------------------------------

# Waits until the log tells the address that was bound (port 0: any free one).
address_from() {
	local log=$1 pid=$2 n address
	for ((n = 0; n < 100; n++)); do
		address=$(sed -n 's/.* listen[a-z]* on \([0-9.:]*\).*/\1/p' "$log" 2>/dev/null | head -n 1)
		[ -n "$address" ] && { echo "http://$address"; return 0; }
		ended "$pid" && return 1
		sleep 0.1
	done
	return 1
}

ebb() { "$BUILD/ebb" --controller "$controller_url" "$@"; }

[ "$(id -u)" -eq 0 ] || die "needs root, to make cgroups and to sample them in the kernel: sudo make demo"
for program in ebb ebb-agent ebb-controller demo_load; do
	[ -x "$BUILD/$program" ] || die "$BUILD/$program is missing: run make demo"
done
work=$(mktemp -d "${TMPDIR:-/tmp}/$mine.XXXXXX") || die "cannot make a directory in ${TMPDIR:-/tmp}"

version2=yes
[ -n "$(v1_mount cpu)" ] && version2=
if [ -n "$version2" ]; then
	[ -r $cgroup_root/cgroup.controllers ] || die "no cgroup hierarchy is mounted at $cgroup_root"
	make_v2
else
	make_v1
fi

setsid "$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "sqlite:$work/state.db" \
	>"$work/controller.log" 2>&1 &
controller=$!
controller_url=$(address_from "$work/controller.log" "$controller") ||
	die "the controller did not start" "$work/controller.log"
setsid "$BUILD/ebb-agent" --listen 127.0.0.1:0 --controller "$controller_url" --name demo-host \
	--containers "$mine/*" --pin-dir "$pins" >"$work/agent.log" 2>&1 &
agent=$!
agent_url=$(address_from "$work/agent.log" "$agent") || die "the agent did not start" "$work/agent.log"

# Both containers appear by themselves.
for ((n = 0; n < 100; n++)); do
	[ "$(ebb ps --json 2>/dev/null | grep -c '"name": "demo-')" -ge 2 ] && break
	ended "$agent" && die "the agent ended" "$work/agent.log" "$work/controller.log"
	sleep 0.1
done
[ "$n" -lt 100 ] || die "the containers did not appear" "$work/agent.log" "$work/controller.log"

cpus=$(nproc)
[ "$cpus" -gt 2 ] && cpus=2
most=320
{ ebb guard demo-cpu --cpu "20..${cpus}c" --mem 64..512 && ebb guard demo-mem --cpu 20..100 --mem 64..512; } \
	>"$work/guard.log" 2>&1 ||
	die "guarding failed: $(cat "$work/guard.log")" "$work/controller.log" "$work/agent.log"

say "Ebb demo: two containers on this host, each told once how far its limit may go:"
sed 's/^/  /' "$work/guard.log"
say "  sampler: $("$BUILD/ebb" --controller "$controller_url" --agent "$agent_url" doctor 2>/dev/null |
	sed -n 's/^[A-Z]*  *sampler  *//p' | head -n 1)"
say "demo-cpu will be idle, busy on two cores, on one, idle; demo-mem takes memory and gives it back."
say "About $seconds seconds; q or Ctrl-C ends it sooner."
[ -t 1 ] && sleep 3

start_load demo-cpu "$BUILD/demo_load" cpu "$seconds"
start_load demo-mem "$BUILD/demo_load" mem "$seconds" "$most"
run_meter &
meter=$!

interval=2
[ -t 1 ] && interval=0.5
# In the background, so that a signal is seen at once. Ctrl-C reaches it too, but for its first moments.
interrupted=
trap 'interrupted=yes' INT
ebb top --interval "$interval" --for "$seconds" 'demo-*' <&0 2>"$work/top.err" &
top=$!
until ended "$top"; do
	[ -n "$interrupted" ] && kill -TERM "$top" 2>/dev/null
	sleep 0.2
done
top=
[ -s "$work/top.err" ] && die "the display ended: $(cat "$work/top.err")" "$work/controller.log" "$work/agent.log"

# --- what came of it ---------------------------------------------------------------------------------------------

stop "$meter"
meter=
ebb why demo-cpu --limit 1 >"$work/why" 2>/dev/null
ebb why demo-cpu --json --limit 1000 >"$work/cpu.json" 2>/dev/null
ebb why demo-mem --json --limit 1000 >"$work/mem.json" 2>/dev/null

# reaction UP|DOWN FILE...: milliseconds from sample to limit in force, of the raises or the cuts.
reaction() {
	local direction=$1
	shift
	awk -v direction="$direction" '
		function value() { return $2 + 0 }
		$1 == "\"current\":" { before = value() }
		$1 == "\"applied\":" { after = $2 ~ /^[0-9]/ ? value() : -1 }
		$1 == "\"applied_ms\":" { took = $2 ~ /^[0-9]/ ? value() : -1 }
		/^  }/ {
			if (took >= 0 && after >= 0 && before >= 0 && (after > before) == (direction == "up") && after != before)
				print took
		}' "$@" | sort -n | awk '
		{ v[NR] = $1 }
		END {
			if (!NR) print "none"
			else printf "%d; median %.0f ms, 95%% within %.0f ms, worst %.0f ms\n",
				NR, v[int((NR + 1) / 2)], v[int(NR * 0.95 + 0.999)], v[NR]
		}'
}

say
say "What came of it:"
say "  Raised: $(reaction up "$work/cpu.json" "$work/mem.json"), from the sample to the limit in force"
say "  Cut:    $(reaction down "$work/cpu.json" "$work/mem.json") (a cut can wait for the next batch)"
awk -v cores="$cpus" '
	NR > 1 && $1 > t {
		dt = $1 - t; seconds += dt
		cpu_used += ($2 - used) / 1e6
		if ($3 > 0) cpu_given += $3 / $4 * dt; else cpu_given += cores * dt
		mem_used += $5 / 1048576 * dt
		if ($6 > 0) { mem_given += $6 / 1048576 * dt; mem_seconds += dt }
	}
	{ t = $1; used = $2 }
	END {
		if (seconds < 1) exit
		printf "  CPU:    %.1f core seconds were used of %.1f given out (%.0f%%); a fixed limit of %d cores would have given %.1f (%.0f%% used)\n",
			cpu_used, cpu_given, 100 * cpu_used / cpu_given, cores, cores * seconds, 100 * cpu_used / (cores * seconds)
		if (mem_seconds > 0)
			printf "  Memory: %.0f MiB used of %.0f MiB given out on average (%.0f%%); a fixed limit would have been 512 MiB (%.0f%% used)\n",
				mem_used / seconds, mem_given / mem_seconds, 100 * mem_used / seconds / (mem_given / mem_seconds), 100 * mem_used / seconds / 512
	}' "$work/meter"
if [ -s "$work/why" ]; then
	say "  The last decision about demo-cpu, as \`ebb why\` tells it:"
	sed 's/^/    /' "$work/why"
fi
cleanup || exit 1
say "All of it is gone again: cgroups, BPF pins, processes and files."
