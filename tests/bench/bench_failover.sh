#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How long nobody leads: two controllers on one CouchDB (pouchdb-server, or EBB_TEST_COUCHDB), an agent;
# kill -9 of the leader until the other one leads, and until it has taken the agent's feed. With STOP in place
# of KILL the leader hangs, and goes on after that.
#   EBB_BENCH_KILLS=20 EBB_BENCH_SIGNAL=KILL tests/bench/bench_failover.sh
. "$(dirname "$0")/../e2e/leader.bash"
need_peer couchdb failover
need_cgroups failover
kills=${EBB_BENCH_KILLS:-20} signal=${EBB_BENCH_SIGNAL:-KILL}
case $signal in KILL | STOP) ;; *) echo "EBB_BENCH_SIGNAL is KILL or STOP" >&2 && exit 2 ;; esac
# Polls at one pace, unlike that of the tests.
wait_for() {
	local end=$((SECONDS + 40))
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.02
	done
}

start_couchdb && make_cgroup web && start_ctl 1 && start_ctl 2 || exit 1
start_agent --controller "http://${LISTEN[1]},http://${LISTEN[2]}" || exit 1
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
messages() { curl -s "http://${LISTEN[$1]}/metrics" | awk '/^ebb_feed_messages_total/ {print $2}'; }
one_leads() { leads 1 || leads 2; }
was_fed() { [ "$(messages "$1")" -gt "$2" ] 2>/dev/null; }

wait_for one_leads || exit 1
for _ in $(seq "$kills"); do
	if leads 1; then old=1 new=2; else old=2 new=1; fi
	wait_for knows_standby "$old" "$new" && wait_for fed_by "$old" || exit 1
	# Anywhere between two renewals, two polls and two messages.
	sleep "1.$((RANDOM % 900 + 100))"
	before=$(messages "$new")
	began=$(now_ms)
	if [ "$signal" = KILL ]; then kill_ctl "$old" KILL; else kill -STOP "${CTL[$old]}"; fi
	wait_for leads "$new" || exit 1
	led=$(now_ms)
	wait_for was_fed "$new" "$before" || exit 1
	fed=$(now_ms)
	echo "$((led - began)) $((fed - began))" >>"$TMP/times"
	if [ "$signal" = KILL ]; then
		start_ctl "$old" || exit 1
	else
		kill -CONT "${CTL[$old]}"
		wait_for stands_by "$old" "$new" || exit 1
	fi
done
quantiles() { # COLUMN NAME
	awk -v c="$1" '{print $c}' "$TMP/times" | sort -n | awk -v name="$2" '{v[NR] = $1} END {
		printf "%-34s %6d %6d %6d\n", name, v[int((NR + 1) / 2)], v[int(NR * 0.95 + 0.999)], v[NR]}'
}
printf '%-34s %6s %6s %6s\n' "ms from SIG$signal, $kills times" p50 p95 max
quantiles 1 'the other controller leads'
quantiles 2 'it has taken a message of the agent'
