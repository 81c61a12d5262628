#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From the start of a load to the first raise of its quota on a host without an agent: points every 5 s,
# WINDOW_DELAY 10 s, as the original has them; limits of 50 shares, set through the Container Scaler.
#   tests/bench/bench_mixed.sh [ROUNDS]
here=$(cd "$(dirname "$0")" && pwd)
FEED_PERIOD=5 FEED_DELAY=10
. "$here/../e2e/loop.bash"
. "$here/../peers/peers.bash"
. "$here/../e2e/mixed.bash"
need_cgroups bench_mixed
need_peer opentsdb_double bench_mixed
rounds=${1:-3}

limit_50() { api PUT /container/web '{"cpu":{"cpu_allowance_limit":"50","cpu_num":"0"},"mem":{"mem_limit":"256"}}' >/dev/null; }
at_50() { [ "$(resource web cpu current) $(quota web)" = "50 50" ]; }
now_ms() { date +%s%3N; }

make_cgroup web
make_cgroup ghost
prefer_loads
start_agent && wait_for knows web || exit 1
limit_50
start_opentsdb_double || exit 1
put_points web &
FEEDER=$!
start_controller || exit 1
ask PUT /service/guardian/FEED_GRACE '{"value":"0"}' >/dev/null
kill_controller TERM
put_documents
start_controller --opentsdb "$OPENTSDB" --spool none || exit 1
wait_long feed_is opentsdb || exit 1
# A name without points yet is asked for again after a minute.
until metric_is ebb_opentsdb_containers_with_data 1; do sleep 1; done

for round in $(seq "$rounds"); do
	ask PUT /structure/web/unguard >/dev/null
	limit_50
	wait_long at_50 || exit 1
	# Until what was measured of the round before is past; in another phase of the buckets each time.
	sleep $((30 + round * 2))
	ask PUT /structure/web/guard >/dev/null
	start=$(now_ms)
	busy web "$cores"
	until quota_at_least web 51 || [ $(($(now_ms) - start)) -gt 120000 ]; do sleep 0.05; done
	first=$(($(now_ms) - start))
	until quota_at_least web $((cores * 85)) || [ $(($(now_ms) - start)) -gt 300000 ]; do sleep 0.1; done
	echo "round $round: first raise after $((first / 1000)).$((first % 1000 / 100)) s, to $(quota web) shares; all that it can use after $((($(now_ms) - start) / 1000)) s"
	idle
done
kill_controller TERM
exit 0
