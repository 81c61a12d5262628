#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Controller, agent and database server are killed at random (kill -9) while limits change: after each kill all
# come back, no document is lost, and the limits in force are those of the state.
#   tests/e2e/kills.sh [KILLS]      EBB_TEST_SEED repeats a run; tests/bench/bench_kills.sh kills many times
. "$(dirname "$0")/couch.bash"
kills=${1:-6}
need_peer "${EBB_TEST_KILLS_SERVER:=couchdb}" kills
need_cgroups kills
seed=${EBB_TEST_SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed (EBB_TEST_SEED), $kills kills" >&2
if ! couchdb_is_ours; then
	skip kills "a site's own CouchDB is not killed"
	exit 0
fi
cores=$(nproc)
names=(a b c)
killed_controllers=0 killed_agents=0 killed_servers=0 lost=0 young=0 mismatches=0

# What is asked for and what was answered, one line each: TIME (us) try|ok NAME FIELD VALUE.
record() { echo "${EPOCHREALTIME/[.,]/} $*" >>"$TMP/record"; }

for name in "${names[@]}"; do make_cgroup "$name"; done
"start_$EBB_TEST_KILLS_SERVER" || exit 1
STATE=$COUCHDB_STATE
start_loop
for name in "${names[@]}"; do
	guard "$name" 20 "$((cores * 100))" 64 256 || not_ok "guard_$name"
	record ok "$name" max $((cores * 100))
	record ok "$name" boundary 10
done
check agrees_at_first converges

# One that stands by sends writes elsewhere: that is no success.
takes() {
	[ "$(curl -s -o "$TMP/changed" -w '%{http_code}' -X PUT --data-binary "$2" "http://$CONTROLLER_LISTEN$1")" = 200 ]
}
# A change over the API, and one by hand.
change() {
	local name=$1 value
	value=$((cores * 100 - RANDOM % 50))
	record try "$name" max "$value"
	takes "/structure/$name/resources/cpu/max" "{\"value\":$value}" && record ok "$name" max "$value"
	value=$((5 + RANDOM % 20))
	record try "$name" boundary "$value"
	edit limits "$name" ".resources.cpu.boundary = $value" && record ok "$name" boundary "$value"
}
changer() {
	RANDOM=$((seed + round))
	while :; do
		change "${names[RANDOM % 3]}"
		sleep 0.0$((RANDOM % 10))
	done 2>/dev/null
}
# Three kills are one of each kind, in any order.
kinds=()
kill_one() {
	local i
	[ ${#kinds[@]} -gt 0 ] || kinds=(0 1 2)
	i=$((RANDOM % ${#kinds[@]}))
	set -- "${kinds[i]}"
	unset 'kinds[i]'
	kinds=("${kinds[@]+"${kinds[@]}"}")
	controller_killed=0
	case $1 in
	0)
		killed_controllers=$((killed_controllers + 1)) what=controller
		kill_controller KILL
		controller_killed=${EPOCHREALTIME/[.,]/}
		sleep 0.$((RANDOM % 5))
		start_controller
		;;
	1)
		killed_agents=$((killed_agents + 1)) what=agent
		kill_agent KILL
		sleep 0.$((RANDOM % 5))
		start_feeding_agent
		;;
	2)
		killed_servers=$((killed_servers + 1)) what=server
		"kill_$EBB_TEST_KILLS_SERVER"
		sleep 0.$((RANDOM % 5))
		"restart_$EBB_TEST_KILLS_SERVER"
		;;
	esac
}
# kept NAME FIELD VALUE: is that what was answered last, or asked for after that? A controller that is killed
# has a tenth of a second to write what it has answered: of that it may lose what it answered in the second
# before ($controller_killed, us; 0: it was not killed). 1: lost. 2: lost, but that young.
kept() {
	awk -v name="$1" -v field="$2" -v value="$3" -v killed="$controller_killed" '
		$3 == name && $4 == field {
			if ($2 == "ok") {
				if (!killed || $1 < killed - 1000000 || $1 > killed) delete old
				delete new
			}
			new[$5] = old[$5] = 1
		}
		END { exit value in new ? 0 : value in old ? 2 : 1 }' "$TMP/record"
}
# Documents that are missing, or lack what was answered before.
count_lost() {
	local name db value now
	for name in "${names[@]}"; do
		for field in max boundary; do
			case $field in
			max) value=$(field structures "$name" .resources.cpu.max) ;;
			boundary) value=$(field limits "$name" .resources.cpu.boundary) ;;
			esac
			kept "$name" $field "$value"
			case $? in
			1)
				lost=$((lost + 1))
				tail -n 15 "$CONTROLLER_LOG" >&2
				echo "round $round, $what: $name has $field $value; $(grep " $name $field " "$TMP/record" | tail -n 6 | tr '\n' ';')" >&2
				;;
			2) young=$((young + 1)) ;;
			esac
			record ok "$name" $field "$value"
		done
	done
	for db in rules services structures limits; do
		now=$(documents "$db" | jq length)
		[ "$now" = "${documents_of[$db]}" ] && continue
		lost=$((lost + 1))
		echo "round $round, $what: $db has $now documents, not ${documents_of[$db]}" >&2
	done
}
all_in_force() {
	local name
	for name in "${names[@]}"; do in_force "$name" || return 1; done
}

all_agree() { state_agrees && adds_up && all_in_force; }
# On a machine that is very busy it takes longer than who started them waits.
all_are_up() {
	ask GET /heartbeat >/dev/null && listening "$AGENT_LOG" && couch GET rules >/dev/null
}

declare -A documents_of=()
for db in rules services structures limits; do documents_of[$db]=$(documents "$db" | jq length); done
begin=$SECONDS
for round in $(seq "$kills"); do
	case $((RANDOM % 3)) in
	0) idle ;;
	*) busy "${names[RANDOM % 3]}" 1 ;;
	esac
	changer &
	changing=$!
	sleep 0.$((2 + RANDOM % 8))
	kill_one || within 120 all_are_up || not_ok "comes_back_in_round_$round"
	sleep 0.$((RANDOM % 5))
	kill -KILL $changing
	wait $changing 2>/dev/null
	idle
	# What waited for the server is written, what others wrote is taken in.
	# The bound is for failures only, on a machine that stands still for a while.
	if ! within 180 all_agree; then
		mismatches=$((mismatches + 1))
		echo "round $round, $what: no agreement" >&2
		diff "$TMP/told_by_ebb" "$TMP/told_by_couchdb" | head -n 40 >&2
		explain
	fi
	count_lost
done
echo "kills: $killed_controllers of the controller, $killed_agents of the agent, $killed_servers of the server;" \
	"changes answered: $(grep -c ' ok ' "$TMP/record"); documents lost: $lost; mismatches: $mismatches;" \
	"changes of the second before a kill of the controller that it had not written: $young; $((SECONDS - begin)) s"
same no_document_is_lost $lost 0
same limits_in_force_are_those_of_the_state $mismatches 0
finish
