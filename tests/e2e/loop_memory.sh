#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A process takes memory at a steady pace: the limit goes ahead of it, nothing is killed; it gives the
# memory back, and the limit follows without ever going below what is used.
. "$(dirname "$0")/loop.bash"
need_cgroups loop_memory
if [ ! -x "$BUILD/demo_load" ]; then
	skip loop_memory "$BUILD/demo_load is not built"
	exit 0
fi
make_cgroup hoard
if [ -z "$(oom_kills hoard 2>/dev/null)" ]; then
	skip loop_memory "this host limits no memory"
	exit 0
fi
start_loop
check guard guard hoard 20 100 64 512
check idle_falls_to_min wait_long memory_at_most hoard 80

# 280 MiB within the first half, then back; see packaging/demo_load.c.
(enter hoard "$BUILD/demo_load" mem 16 280) &
load=$!
check the_limit_goes_ahead wait_long memory_at_least hoard 290
kill -0 "$load" 2>/dev/null
same the_load_lives $? 0
wait "$load"
same the_load_ends_by_itself $? 0
same nothing_was_killed "$(oom_kills hoard)" 0
check the_limit_comes_down wait_long memory_at_most hoard 100
check record_agrees_with_the_kernel wait_for in_force hoard
check adds_up_afterwards wait_for adds_up
finish
