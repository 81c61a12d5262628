#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Loads come and go, and controller and agent are killed at random: whatever happens, no more is
# promised than there is, and in the end all is as it should be. EBB_TEST_SEED repeats a run.
. "$(dirname "$0")/loop.bash"
need_cgroups loop_random_kills
seed=${EBB_TEST_SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed (EBB_TEST_SEED)" >&2
rounds=${EBB_TEST_ROUNDS:-12}
cores=$(nproc)
total=$((cores * 100))
names=(a b c)
load=$cores
[ -z "${EBB_TEST_EMULATED:-}" ] || load=$(load_cpus)

for name in "${names[@]}"; do make_cgroup "$name"; done
start_loop
for name in "${names[@]}"; do
	guard "$name" 20 "$total" 64 256 || not_ok "guard_$name"
done
for name in "${names[@]}"; do
	check "idle_$name" wait_long is_idle "$name"
done

overbooked=0 wrong=0
for round in $(seq "$rounds"); do
	what=$((RANDOM % 6))
	# Of few rounds each kills, every other one under load.
	if [ "$rounds" -lt 6 ]; then
		what=$((what % 3))
		[ $((round % 2)) = 0 ] && idle || busy "${names[RANDOM % 3]}" "$load"
	fi
	case $what in
	0) kill_controller KILL; start_controller || not_ok "controller_round_$round" ;;
	1) kill_agent KILL; start_feeding_agent || not_ok "agent_round_$round" ;;
	2) kill_controller KILL; kill_agent KILL; start_controller; start_feeding_agent ;;
	3) idle ;;
	*) busy "${names[RANDOM % 3]}" "$load" ;;
	esac
	for _ in $(seq $((5 + RANDOM % 20))); do
		! more_than "$total" "${names[@]}" || overbooked=$((overbooked + 1))
		sleep 0.05
	done
	wait_for adds_up || wrong=$((wrong + 1))
done
same never_more_than_there_is $overbooked 0
same books_add_up_in_every_round $wrong 0

idle
for name in "${names[@]}"; do
	check "falls_in_the_end_$name" wait_long is_idle "$name"
	check "record_agrees_$name" wait_for in_force "$name"
done
check adds_up_in_the_end wait_for adds_up
finish
