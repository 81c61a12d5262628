# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034 # what it sets is for those who source it
# For shell tests with real container engines: a room for them. Source it first, before loop.bash.
#
# The script goes on in a private mount namespace, where the engines' packages (tests/peers/install.sh)
# are laid over /usr and /etc, and /run and what is written to /var/lib are in memory: the engines are
# where they always are, with their usual directories, and nothing of them stays. They themselves run
# in a process namespace below, the room, which ends with its first process, and that with the test.
# All their cgroups are below $TAG.
#
#   enter_mounts SCRIPT_NAME      the script starts anew in the mount namespace; skips it where that cannot be
#   need_engine ENGINE            fails, having said `skip` and why, where it cannot be had, or is not
#                                 among EBB_TEST_ENGINES="runc lxc"
#   open_room                     makes $TAG in all hierarchies, and the room
#   room COMMAND...               runs it there, as root
#   room_cleanup                  is to be the script's EXIT trap
#   $ROOM                         a directory in memory; $ROOM/ctl is /ctl in the containers
CACHE=${EBB_PEERS_CACHE:-$(dirname "${BASH_SOURCE[0]}")/../../build-peers}
ROOM_PID=

# lay_out TREE ROOM COMMAND...: in a new mount namespace.
lay_out() {
	local tree=$1 room=$2
	shift 2
	mount -t tmpfs -o size=1g,mode=755 ebb-room "$room" &&
		mkdir "$room/"{ctl,etc,etc.work,lib,lib.work} &&
		mount -t overlay -o "lowerdir=$tree/usr:/usr" ebb-room /usr &&
		mount -t overlay -o "lowerdir=$tree/etc:/etc,upperdir=$room/etc,workdir=$room/etc.work" ebb-room /etc &&
		mount -t overlay -o "lowerdir=/var/lib,upperdir=$room/lib,workdir=$room/lib.work" ebb-room /var/lib &&
		mount -t tmpfs -o mode=755 ebb-room /run &&
		exec "$@"
	exit 1
}
if [ "${1-}" = lay_out ]; then
	"$@"
fi

# Every mounted hierarchy, also those without limits.
cgroup_mounts() { sed -n 's/^[^ ]* \([^ ]*\) cgroup2\{0,1\} .*/\1/p' /proc/mounts; }
# room_cgroup PATH: below $TAG, in all hierarchies, the first one last, as the agent begins with that.
room_cgroup() {
	local mount dir part
	for mount in $(cgroup_mounts | tac); do
		dir=$mount/$TAG
		for part in "" $(tr / ' ' <<<"$1"); do
			dir=$dir${part:+/$part}
			mkdir -p "$dir" || return 1
			[ -e "$dir/cpuset.sched_load_balance" ] || continue
			cat "$mount/cpuset.mems" >"$dir/cpuset.mems"
			cat "$mount/cpuset.cpus" >"$dir/cpuset.cpus"
		done
	done
}
# Kills what is below $TAG, and takes the directories away.
remove_room_cgroups() {
	local mount
	for mount in $(cgroup_mounts); do
		[ ! -d "$mount/$TAG" ] || wait_for remove_cgroups_at "$mount/$TAG"
	done
}
remove_cgroups_at() {
	find "$1" -name cgroup.procs -exec cat {} + | while read -r pid; do kill -9 "$pid"; done
	find "$1" -depth -type d -exec rmdir {} +
	[ ! -d "$1" ]
} 2>/dev/null

# What a test leaves that is killed without mercy, it being outside of the test's namespaces.
watch_over() {
	local test=$1 pid file
	while kill -0 "$test" 2>/dev/null; do sleep 0.5; done
	[ -d "$EBB_ROOM" ] || exit 0
	while read -r pid; do
		case $(readlink "/proc/$pid/exe") in */ebb-agent | */ebb-controller) kill -9 "$pid" ;; esac
	done <"$EBB_ROOM/pids"
	TAG=ebb-test-$test
	remove_room_cgroups
	while read -r file; do rm -rf "$file"; done <"$EBB_ROOM/files"
	rm -rf "$EBB_ROOM"
}

enter_mounts() {
	local name=$1
	if [ -n "${EBB_ROOM-}" ]; then
		ROOM=$EBB_ROOM/room
		return
	fi
	# shellcheck source=tests/check.bash
	. "$(dirname "${BASH_SOURCE[0]}")/../check.bash"
	if [ "$(id -u)" -ne 0 ]; then
		skip "$name" "needs root, to start containers"
		exit 0
	fi
	if [ ! -d "$CACHE/engines/usr" ]; then
		skip "$name" "$(cat "$CACHE/runc.missing" 2>/dev/null || echo "tests/peers/install.sh has not been run")"
		exit 0
	fi
	EBB_ROOM=$(mktemp -d)
	export EBB_ROOM
	mkdir "$EBB_ROOM/room" && : >"$EBB_ROOM/pids" && : >"$EBB_ROOM/files"
	set -- unshare --mount --propagation private "$BASH" "${BASH_SOURCE[0]}" lay_out "$CACHE/engines" "$EBB_ROOM/room"
	if ! "$@" true 2>"$EBB_ROOM/why"; then
		skip "$name" "no private mounts can be made here: $(head -n 1 "$EBB_ROOM/why")"
		rm -rf "$EBB_ROOM"
		exit 0
	fi
	# The process stays the same one. Nobody's output waits for the watch.
	(watch_over $$) </dev/null >/dev/null 2>&1 &
	disown
	exec "$@" "$BASH" "$0"
}
# need_engine ENGINE
need_engine() {
	local program
	case " ${EBB_TEST_ENGINES-$1} " in
	*" $1 "*) ;;
	*)
		skip "engine_$1" "not among EBB_TEST_ENGINES"
		return 1
		;;
	esac
	case $1 in
	lxc) program=lxc-start ;;
	nspawn) program=systemd-nspawn ;;
	*) program=$1 ;;
	esac
	command -v "$program" >/dev/null && return
	skip "engine_$1" "$(cat "$CACHE/$1.missing" 2>/dev/null || echo "tests/peers/install.sh has not been run")"
	return 1
}

room_is_open() { [ -e "$ROOM/open" ]; }
open_room() {
	local mount
	# lxc takes init.scope for the root of the host, as systemd's first process is in one.
	room_cgroup init.scope || return 1
	for mount in $(cgroup_mounts); do echo "$mount/$TAG/init.scope"; done >"$ROOM/own"
	# shellcheck disable=SC2016 # it is for the shell in there
	setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc --propagation private --net \
		"$BASH" -c 'while read -r dir; do echo 0 >"$dir/cgroup.procs" || exit 1; done <"$0/own"
		: >"$0/open"; sleep infinity & wait' "$ROOM" </dev/null >"$ROOM/log" 2>&1 &
	ROOM_PARENT=$!
	disown
	wait_for room_is_open || return 1
	ROOM_PID=$(ps -o pid= --ppid "$ROOM_PARENT" | tr -d ' ')
}
room() { nsenter --target "$ROOM_PID" --mount --pid --net -- "$@"; }

close_room() {
	[ -n "$ROOM_PID" ] && kill -9 "$ROOM_PID" 2>/dev/null
	ROOM_PID=
	remove_room_cgroups
}
room_cleanup() {
	close_room
	loop_cleanup
	# The lock file of the agent is in the room's /run.
	cd / && umount -l "$ROOM" && rm -rf "$EBB_ROOM"
}

# make_rootfs DIR: busybox, and /bin/work NAME, which uses a CPU while /ctl/NAME is there.
make_rootfs() {
	local program
	mkdir -p "$1"/{bin,sbin,dev,proc,sys,etc,tmp,run,ctl,root,usr/bin,var/run} &&
		cp /usr/bin/busybox "$1/bin/busybox" || return 1
	for program in sh sleep mkdir; do ln -s busybox "$1/bin/$program"; done
	ln -s ../bin/busybox "$1/sbin/init"
	echo root:x:0:0:root:/root:/bin/sh >"$1/etc/passwd"
	echo root:x:0: >"$1/etc/group"
	: >"$1/etc/os-release"
	# To wait for without a process each time, which would not look idle on a slow machine.
	mkfifo "$1/silence" || return 1
	cat >"$1/bin/work" <<-'END'
		#!/bin/sh
		exec 3<>/silence
		while :; do
			i=0
			if [ -e "/ctl/$1" ]; then
				while [ $i -lt 20000 ]; do i=$((i + 1)); done
			else
				read -r -t 1 _ <&3
			fi
		done
	END
	chmod +x "$1/bin/work"
}
