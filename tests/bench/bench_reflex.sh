#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the reflex is good for, through the real agent and controller, with it and with the guardian alone.
# CPU: two threads begin to spin in a container that idles at 30 shares; from the moment when the scheduler makes one
# wait for its next period until the quota file has more. Memory: a process grows by 1 GiB/s up to 2 GiB in a
# container that was cut down to 128 MiB, while the host has memory; who is killed, and how long it stood still.
#   tests/bench/bench_reflex.sh [ROUNDS]      100 of CPU with the reflex, under three minutes; others in proportion
. "$(dirname "$0")/../e2e/loop.bash"
REFLEX=on
rounds=${1:-100}
if ! [[ $rounds =~ ^[1-9][0-9]{0,3}$ ]]; then
	echo "usage: $0 [ROUNDS]" >&2
	exit 2
fi
need_cgroups bench_reflex
[ "$(nproc)" -ge 2 ] || { skip bench_reflex "needs two CPUs"; exit 0; }
trap 'exit 130' INT TERM HUP

MEASURE=
stop_all() {
	[ -z "$MEASURE" ] || { kill "$MEASURE" && wait "$MEASURE"; } 2>/dev/null
	loop_cleanup
	rm -rf "$PIN-bench"
}
trap stop_all EXIT
give_up() {
	echo "bench_reflex: $*" >&2
	tail -n 20 "$TMP/controller.log" "$TMP/agent.log" >&2
	exit 1
}
lease_left() { curl -sf "http://$ADDRESS/metrics" | sed -n 's/^ebb_agent_reflex_lease_seconds //p'; }
has_lease() { lease_left | awk '{ exit !($1 > 0) }'; }
has_no_lease() { ! has_lease; }
reflex() { # on|off
	if [ "$1" = on ]; then
		ask PUT /service/scaler/REFLEX '{"value":true}' >/dev/null && wait_long has_lease
	else
		ask PUT /service/scaler/REFLEX '{"value":false}' >/dev/null && wait_long has_no_lease
	fi || give_up "the reflex cannot be switched $1"
}
# measure KIND ON|OFF ROUNDS IDLE MAX [PINS]
measure() {
	"$BUILD/tests/bench/agent/reflex" "$1" "$TAG" "http://$CONTROLLER_LISTEN" "$3" "$4" "$5" "${@:6}" >"$TMP/$1.$2" &
	MEASURE=$!
	wait "$MEASURE" || {
		failed=1
		curl -sf "http://$ADDRESS/metrics" | grep '^ebb_agent_reflex' >&2
		explain
	}
	MEASURE=
}
few() { echo $((rounds * $1 / 100 > 0 ? rounds * $1 / 100 : 1)); }

# weigh NAME SHARES: of the CPU, against its siblings.
weigh() {
	echo "$2" >"$(cg cpu "$1")/cpu.shares"
	echo $(($2 * 100 / 1024)) >"$(cg cpu "$1")/cpu.weight"
} 2>/dev/null
for name in web big ebb; do make_cgroup $name; done || give_up "no cgroups"
# The limits are to hold the loads back, and not what else the machine does; and as on a host, where ebb.slice has
# twice the share of what the containers have.
weigh "" 40960
weigh ebb 2048
GLOB='[wb]*'
start_controller && start_feeding_agent || give_up "does not start"
for pid in $CONTROLLER $AGENT; do echo "$pid" >"$(cg cpu ebb)/cgroup.procs"; done
# As its unit runs it.
renice -n -5 -p $(ls "/proc/$AGENT/task") >/dev/null
# One resource of each; the other stays without a limit.
for other in web/mem big/cpu; do
	wait_for has_structure "${other%/*}" &&
		ask PUT "/structure/${other%/*}/resources/${other#*/}/unguard" >/dev/null || give_up "no containers"
done
guard web 30 30 64 64 && guard big 1 200 128 3072 || give_up "cannot guard"

begin=$SECONDS load=$(cut -d ' ' -f 1 /proc/loadavg)
for state in on off; do
	reflex $state
	if [ $state = on ]; then n=$rounds m=$(few 5); else n=$(few 10) m=$(few 2); fi
	measure cpu $state "$n" 30 200 "$PIN-bench"
	measure mem $state "$m" 128 3072
done

# row TITLE FILE KEY
row() {
	awk -v key="$3" '{for (i = 2; i < NF; i += 2) if ($i == key) print $(i + 1)}' "$TMP/$2" | sort -n |
		awk -v title="$1" '{v[NR] = $1} function at(share) { return v[int(share * (NR - 1) + 1.5)] }
		END { if (NR) printf "%-44s %6d %9.1f %9.1f %9.1f %9.1f\n", title, NR, at(.5), at(.95), at(.99), v[NR] }'
}
sum() { awk -v key="$2" '{for (i = 2; i < NF; i += 2) if ($i == key) n += $(i + 1)} END {print n + 0}' "$TMP/$1"; }
printf '%-44s %6s %9s %9s %9s %9s\n' "ms ($((SECONDS - begin)) s, load before $load)" rounds p50 p95 p99 worst
for state in on off; do
	row "reflex $state: made to wait -> quota raised" cpu.$state waits-raised
	row "  period counted (nr_throttled) -> raised" cpu.$state counted-raised
	row "  load begins -> raised" cpu.$state load-raised
	echo "  $(sum cpu.$state uncounted) raised before the kernel had counted a throttled period (0 above), $(sum cpu.$state missed) not raised"
done
for state in on off; do
	echo "reflex $state: 64 MiB to 2 GiB at 1 GiB/s, $(wc -l <"$TMP/mem.$state") times: $(sum mem.$state killed) killed"
	row "  raises of the limit" mem.$state raises
	row "  charges that the limit had no room for" mem.$state met
	row "  stood still, ms" mem.$state stall
	row "  longest MiB, ms" mem.$state longest
	row "  MiB/s" mem.$state rate
	row "  MiB reached" mem.$state reached
done
exit $failed
