#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a request to its answer, with a real agent on real cgroups: a change of a range, a subscription of
# a container (which is answered when its limits are in force), and a desubscription. curl's time, from
# connecting to the last byte.
#   bench_subscribe.sh [CHANGES [SUBSCRIPTIONS]]        default 500 and 100
. "$(dirname "$0")/../e2e/loop.bash"
need_cgroups bench_subscribe
changes=${1:-500}
subscriptions=${2:-100}

# timed METHOD PATH [BODY]: milliseconds; nothing when it is not answered 200.
timed() {
	local args=(-s -o /dev/null -w '%{http_code} %{time_total}\n' -X "$1")
	[ $# -gt 2 ] && args+=(-d "$3")
	curl "${args[@]}" "http://$CONTROLLER_LISTEN$2" | awk '$1 == 200 {print $2 * 1000}'
}
show() {
	sort -n "$2" | awk -v what="$1" '{v[NR] = $1} END {
		if (!NR) { print what ": nothing was answered"; exit 1 }
		printf "%-36s %5d  p50 %6.2f ms  p95 %6.2f ms  p99 %6.2f ms  max %6.2f ms\n", what, NR,
			v[int((NR + 1) / 2)], v[int(NR * .95 + .999)], v[int(NR * .99 + .999)], v[NR]}'
}
body() {
	echo "{\"container\":{\"name\":\"c0\",\"resources\":{\"cpu\":{\"max\":100,\"current\":100,\"min\":20,\"guard\":false},
		\"mem\":{\"max\":512,\"current\":512,\"min\":64,\"guard\":false}},\"host_rescaler_ip\":\"$HOST\",\"host_rescaler_port\":8000,
		\"host\":\"$HOST\",\"guard\":false,\"subtype\":\"container\"},\"limits\":{\"resources\":{
		\"cpu\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"},\"mem\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"}}}}"
}

make_cgroup c0
start_controller && start_feeding_agent && wait_for has_structure c0 || exit 1
for i in $(seq "$subscriptions"); do
	timed PUT /structure/container/c0 "$(body)" >>"$TMP/subscribe"
	[ "$i" = "$subscriptions" ] || timed DELETE /structure/container/c0 >>"$TMP/desubscribe"
done
for i in $(seq "$changes"); do
	timed PUT /structure/c0/resources/cpu/min "{\"value\":\"$((20 + i % 50))\"}" >>"$TMP/change"
done
show "a change of a range" "$TMP/change" || failed=1
show "a container subscribed, limits in force" "$TMP/subscribe" || failed=1
show "a container desubscribed" "$TMP/desubscribe" || failed=1
exit "$failed"
