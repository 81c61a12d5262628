#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How long nobody leads: two controllers on one CouchDB (pouchdb-server, or EBB_TEST_COUCHDB), an agent;
# kill -9 of the leader until the other one leads, and until it has taken the agent's feed.
#   EBB_BENCH_KILLS=20 tests/bench/bench_failover.sh
. "$(dirname "$0")/../e2e/leader.bash"
need_peer couchdb failover
need_cgroups failover
kills=${EBB_BENCH_KILLS:-20}

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
	kill_ctl "$old" KILL
	began=$(now_ms)
	wait_for leads "$new" || exit 1
	led=$(now_ms)
	wait_for was_fed "$new" "$before" || exit 1
	fed=$(now_ms)
	echo "$((led - began)) $((fed - began))" >>"$TMP/times"
	start_ctl "$old" || exit 1
done
quantiles() { # COLUMN NAME
	awk -v c="$1" '{print $c}' "$TMP/times" | sort -n | awk -v name="$2" '{v[NR] = $1} END {
		printf "%-34s %6d %6d %6d\n", name, v[int((NR + 1) / 2)], v[int(NR * 0.95 + 0.999)], v[NR]}'
}
printf '%-34s %6s %6s %6s\n' "ms from kill -9, $kills times" p50 p95 max
quantiles 1 'the other controller leads'
quantiles 2 'it has taken a message of the agent'
