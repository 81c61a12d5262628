#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ten thousand connections that are silent, drip or have no end: the agent goes on sampling and feeding,
# loses no sample, answers those who mean it, and takes no more descriptors and memory than its limits.
# shellcheck source=tests/e2e/controller.bash
. "$(dirname "$0")/controller.bash"
# shellcheck source=tests/e2e/tls.bash
. "$(dirname "$0")/tls.bash"
need_cgroups flood
FLOODS=()
stop_floods() {
	for pid in "${FLOODS[@]+"${FLOODS[@]}"}"; do kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
	FLOODS=()
}
trap 'stop_floods; end_of_controller_test' EXIT
ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)"

TOKEN=0123456789abcdef-of-the-flood
(umask 077 && echo $TOKEN >"$TMP/token")
SCHEME=http
get() { curl -s -m 20 --cacert "$TMP/ca.pem" -o "$TMP/body" -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "${@:2}" "$SCHEME://$ADDRESS$1"; }
alive() { [ "$(get /heartbeat)" = 200 ]; }
# read_metrics: under the flood a try may fail.
read_metrics() { [ "$(get /metrics)" = 200 ] && cp "$TMP/body" "$TMP/metrics"; }
metric() { sed -n "s/^$1 //p" "$TMP/metrics"; }
reached() { read_metrics && [ "$(metric "$1")" -ge "$2" ]; }
made() { [ "$(tail -qn 1 "$TMP"/flood.* 2>/dev/null | awk '{n += $1} END {print n + 0}')" -ge "$1" ]; }
sets() { [ "$(get /container/c0 -X PUT -d "{\"cpu\":{\"cpu_allowance_limit\":$1}}")" = 201 ]; }
rss() { awk '/^VmRSS/ {print $2}' "/proc/$AGENT/status"; }
fds() { find "/proc/$AGENT/fd" -mindepth 1 | wc -l; }

# under NAME CONNECTIONS MADE: an agent that feeds, and what it does while it is flooded.
under() {
	local name=$1 before_fds before_rss sweeps batches
	check "${name}_begins" wait_for reached ebb_agent_feed_batches_total 2
	before_fds=$(fds) before_rss=$(rss)
	"$BUILD/flood" "${ADDRESS##*:}" "$2" many >"$TMP/flood.many" &
	FLOODS+=($!)
	"$BUILD/flood" "${ADDRESS##*:}" "$2" same >"$TMP/flood.same" &
	FLOODS+=($!)
	check "${name}_ten_thousand_came" wait_for made "$3"
	check "${name}_somebody_is_answered" wait_for alive
	wait_for read_metrics
	sweeps=$(metric ebb_agent_sweeps_total) batches=$(metric ebb_agent_feed_batches_total)
	check "${name}_sampling_goes_on" wait_for reached ebb_agent_sweeps_total $((sweeps + 20))
	check "${name}_feed_goes_on" wait_for reached ebb_agent_feed_batches_total $((batches + 2))
	check "${name}_order_is_carried_out" wait_for sets 70
	same "${name}_no_sample_is_lost" "$(metric ebb_agent_feed_dropped_samples_total)" 0
	check "${name}_places_change_hands" wait_for reached ebb_agent_http_evicted_total 500
	check "${name}_descriptors_are_bounded" test "$(fds)" -lt $((before_fds + 200))
	# What a connection may cost, times their number, and what the allocator keeps of it.
	check "${name}_memory_is_bounded" test "$(rss)" -lt $((before_rss + 32768))
	check "${name}_flood_was_there_all_the_time" kill -0 "${FLOODS[@]}"
	stop_floods
	check "${name}_quiet_afterwards" wait_for alive
}

start_controller --token-file "$TMP/token" || exit 1
make_cgroup c0 || exit 1
start_agent --token-file "$TMP/token" --controller "$CONTROLLER_ADDRESS" || exit 1
under flood 5500 11000
stop_agent
if command -v openssl >/dev/null && make_ca ca && make_cert ca agent IP:127.0.0.1; then
	SCHEME=https
	rm -f "$TMP"/flood.*
	start_agent --token-file "$TMP/token" --controller "$CONTROLLER_ADDRESS" --tls-cert "$TMP/agent.pem" \
		--tls-key "$TMP/agent.key" || exit 1
	under flood_tls 1000 4000
else
	skip flood_tls "openssl is missing: it makes the certificates"
fi
exit $failed
