#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A container's network from its veth pair to the controller and back: told of when it is there, guarded,
# limited, subscribed. In a network namespace of its own, which takes all that is made here along.
if [ "$(id -u)" != 0 ] || ! unshare -n true 2>/dev/null; then
	echo "skip net # network namespaces are refused"
	exit 0
fi
if ! command -v ip >/dev/null || ! command -v tc >/dev/null; then
	echo "skip net # needs ip and tc (iproute2)"
	exit 0
fi
[ -n "${EBB_TEST_NETNS:-}" ] || EBB_TEST_NETNS=1 exec unshare -n "$BASH" "$0"
. "$(dirname "$0")/loop.bash"
need_cgroups net
ip link set lo up
if ! ip link add probe0 type veth peer name probe1 || ! tc qdisc add dev probe0 root tbf rate 1mbit burst 10kb latency 1ms; then
	echo "skip net # this kernel has no veth, or no tbf qdisc"
	exit 0
fi 2>/dev/null

# connect NAME: gives the container's process an eth0, whose other end here is veth-NAME.
process_of() { head -n 1 "$(cg cpu "$1")/cgroup.procs"; }
runs_apart() {
	local pid
	pid=$(process_of "$1")
	[ -n "$pid" ] && [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}
start_process() { (enter "$1" unshare -n sleep 1000) & disown; wait_for runs_apart "$1"; }
connect() { ip link add "veth-$1" type veth peer name eth0 netns "$(process_of "$1")"; }
bucket() { tc qdisc show dev "veth-$1" | sed -n 's/^qdisc tbf ebb: root.* rate \([^ ]*\) .*/\1/p'; }
bucket_is() { [ "$(bucket "$1")" = "$2" ]; }
has_net() { [ "$(resource "$1" net max)" != null ]; }
tell() { ask "$@" >/dev/null; }
set_net() { ask PUT "/structure/$1/resources/net/$2" "{\"value\":$3}" >/dev/null; }
ebb() { "$BUILD/ebb" --controller "http://$CONTROLLER_LISTEN" "$@" >"$TMP/out" 2>"$TMP/err"; }

make_cgroup web
make_cgroup db
start_process web
start_process db
connect db
start_loop
check web_is_reported wait_for has_structure web
check db_is_reported wait_for has_structure db
check network_is_told_with_the_container wait_for has_net db
same without_one_there_is_none "$(resource web net max)" null
connect web
check network_that_comes_later_is_told wait_long has_net web

# The agent alone.
same agent_shows_it "$(api GET '/container/resources/web?net') $(body '.net|tojson')" \
	'200 {"device_name_in_container":"eth0","device_name_in_host":"veth-web","net_limit":-1,"unit":"unlimited"}'
same another_interface_is_refused "$(api PUT /container/web '{"net":{"net_limit":60,"device_name_in_host":"veth-db"}}')" 400
same the_other_was_not_touched "$(bucket db)" ""
same agent_sets_it "$(api PUT /container/db '{"net":{"net_limit":"60","device_name_in_host":"veth-db"}}') $(body '.net.net_limit')" "201 60"
same it_is_in_force "$(bucket db)" 60Mbit
same agent_takes_it_off "$(api PUT /container/db '{"net":{"net_limit":-1}}') $(bucket db)" "201 "

# Guarded: from max on, and within it.
check resources_may_name_it tell PUT /service/guardian/GUARDABLE_RESOURCES '{"value":["cpu","mem","net"]}'
check guard guard web 20 100 64 256
check guard_by_the_verb ebb guard web --net 10..80
check limited_at_once wait_for bucket_is web 80Mbit
check max_by_the_verb ebb set web net max 100
check lower_max set_net web max 50
check lower_max_is_in_force wait_for bucket_is web 50Mbit
check shown_by_ebb_ps ebb ps
check ebb_ps_names_it grep -q 'web.*net' "$TMP/out"
has_decision() {
	ask GET '/decision/?structure=web&limit=100' |
		jq -e 'any(.[]; .resource == "net" and .outcome == "applied")' >/dev/null
}
check is_on_record wait_for has_decision
check the_scaler_is_alive tell PUT /structure/web/resources/cpu/max '{"value":90}'
check the_scaler_goes_on wait_for quota_at_most web 90

# Subscribed with a network.
check db_comes_in tell PUT /structure/container/db "{\"container\":{\"name\":\"db\",\"resources\":{
	\"cpu\":{\"max\":50,\"current\":50,\"min\":20,\"guard\":false},\"mem\":{\"max\":128,\"current\":128,\"min\":64,\"guard\":false},
	\"net\":{\"max\":40,\"current\":30,\"min\":10,\"guard\":false}},
	\"host_rescaler_ip\":\"$HOST\",\"host_rescaler_port\":\"8000\",\"host\":\"$HOST\",\"guard\":false,\"subtype\":\"container\"},
	\"limits\":{\"resources\":{\"cpu\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"},
	\"mem\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"},
	\"net\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"}}}}"
check its_network_is_limited wait_for bucket_is db 30Mbit
finish
