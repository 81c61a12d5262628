#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo, shortened: it shows what it says, and leaves nothing behind, however it ends.
. "$(dirname "$0")/agent.bash"
need_cgroups demo_run
demo=$(dirname "$0")/../../packaging/demo.sh
export TMPDIR=$TMP/tmp
mkdir "$TMPDIR"

# What a demo of this process number could leave.
leftovers() {
	ls -d /sys/fs/cgroup/ebb-demo-"$1" /sys/fs/cgroup/*/ebb-demo-"$1" /sys/fs/bpf/ebb-demo-"$1" \
		/run/ebb/agent*ebb-demo-"$1".* "$TMPDIR"/* 2>/dev/null
	pgrep -f "[e]bb-demo-$1" || true
}
demo_pid() { sed -n 's/^demo-pid \([0-9]*\).*/\1/p' "$1" | head -n 1; }

# --- to its end, into a file
EBB_DEMO_SECONDS=12 "$demo" >"$TMP/demo.out" 2>"$TMP/demo.err" &
pid=$!
wait $pid
same demo_ends_well $? 0
same demo_says_no_error "$(cat "$TMP/demo.err")" ""
check demo_shows_rows test "$(grep -c '^[0-9:]* *demo-cpu ' "$TMP/demo.out")" -ge 4
# The limit of a busy container rose above the least it was guarded with.
check demo_limit_follows awk '/^[0-9:]+ +demo-cpu / { if ($5 > m) m = $5 } END { exit !(m > 60) }' "$TMP/demo.out"
check demo_sums_up grep -q '^  Raised: [0-9]*; median' "$TMP/demo.out"
check demo_counts_cpu grep -q '^  CPU: .* core seconds were used of' "$TMP/demo.out"
check demo_counts_memory grep -q '^  Memory: .* MiB used of' "$TMP/demo.out"
same demo_leaves_nothing "$(leftovers $pid)" ""
[ $failed -ne 0 ] && cat "$TMP/demo.out" "$TMP/demo.err" >&2

# --- with a cgroup in its own that it did not make
EBB_DEMO_SECONDS=6 "$demo" >"$TMP/kept.out" 2>"$TMP/kept.err" &
pid=$!
demo_cgroup() { ls -d /sys/fs/cgroup/ebb-demo-$pid /sys/fs/cgroup/memory/ebb-demo-$pid 2>/dev/null | head -n 1; }
has_cgroup() { [ -n "$(demo_cgroup)" ]; }
wait_for has_cgroup
kept=$(demo_cgroup)
mkdir "${kept:?the demo made no cgroup}/kept"
wait $pid
same demo_fails_when_something_stays $? 1
same demo_names_what_stays "$(cat "$TMP/kept.err")" "demo: could not remove $kept"
check demo_does_not_say_that_all_is_gone test "$(grep -c 'All of it is gone' "$TMP/kept.out")" = 0
rmdir "$kept/kept" "$kept"
same demo_leaves_only_that "$(leftovers $pid)" ""

# --- ended by Ctrl-C, and by a terminal that goes away
screen_is_up() { grep -q "$(printf '\033\\[?1049h')" "$TMP/demo.tty" 2>/dev/null; }
nothing_left() { [ -z "$(leftovers "$1")" ]; }
# A busy machine takes its time to start it all.
wait_long() {
	local i
	for i in 1 2 3 4 5 6; do wait_for "$@" && return 0; done
	return 1
}
# The demo in a terminal of its own, whose keyboard is standard input.
in_a_terminal() {
	: >"$TMP/demo.tty"
	EBB_DEMO_SECONDS=90 timeout -s KILL 120 script -qefc \
		"stty cols 100 rows 30; TERM=xterm bash -c 'echo demo-pid \$\$; exec $demo'" "$TMP/demo.tty" >/dev/null 2>&1
}
if command -v script >/dev/null && script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
	(wait_long screen_is_up; printf '\003'; wait_long grep -q 'All of it is gone' "$TMP/demo.tty") | in_a_terminal
	pid=$(demo_pid "$TMP/demo.tty")
	check demo_shows_a_screen screen_is_up
	check demo_sums_up_after_ctrl_c grep -q 'Raised: ' "$TMP/demo.tty"
	same demo_leaves_nothing_after_ctrl_c "$(leftovers "$pid")" ""

	sleep 200 | in_a_terminal &
	check demo_shows_a_screen_again wait_long screen_is_up
	pid=$(demo_pid "$TMP/demo.tty")
	# script(1), the demo's parent, and with it the terminal.
	terminal=$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status")
	kill -KILL "$terminal"
	# shellcheck disable=SC2046 # a list of numbers
	kill $(jobs -p) $(pgrep -P $$ -x sleep) 2>/dev/null
	check demo_leaves_nothing_after_a_hangup wait_long nothing_left "$pid"
else
	skip demo_in_a_terminal "script(1) can have no pseudo terminal here"
fi

# --- ended by SIGTERM, as a service manager would
EBB_DEMO_SECONDS=60 "$demo" >"$TMP/demo.out" 2>&1 &
pid=$!
rows() { grep -q '^[0-9:]* *demo-cpu ' "$TMP/demo.out"; }
check demo_runs wait_long rows
kill -TERM $pid
wait $pid
same demo_is_terminated $? 143
same demo_leaves_nothing_after_sigterm "$(leftovers $pid)" ""

# --- a controller that does not come up
mkdir "$TMP/broken"
for program in ebb ebb-agent demo_load; do ln -s "$(realpath "$BUILD/$program")" "$TMP/broken/$program"; done
printf '#!/bin/sh\necho the reason is this >&2\nexit 1\n' >"$TMP/broken/ebb-controller"
chmod +x "$TMP/broken/ebb-controller"
BUILD=$TMP/broken "$demo" >"$TMP/demo.out" 2>&1 &
pid=$!
wait $pid
same demo_without_controller_fails $? 1
check demo_shows_the_log grep -q 'the reason is this' "$TMP/demo.out"
same demo_leaves_nothing_after_failure "$(leftovers $pid)" ""
finish
