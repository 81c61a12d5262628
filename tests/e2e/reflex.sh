#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Between two decisions of the controller, here one that is stopped, the agent raises what is short of
# CPU or memory: inside of its lease and not past its end; afterwards the accounts agree, also those of another
# controller.
. "$(dirname "$0")/loop.bash"
REFLEX=on
need_cgroups reflex
cores=$(nproc)
[ "$cores" -gt 2 ] && cores=2
[ "$cores" -lt 2 ] && { skip reflex "needs two CPUs"; exit 0; }

lease_left() { curl -sf "http://$ADDRESS/metrics" | sed -n 's/^ebb_agent_reflex_lease_seconds //p'; }
lease_at_least() { lease_left | awk -v least="$1" '{ exit !($1 >= least) }'; }
lease_at_most() { lease_left | awk -v most="$1" '{ exit !($1 <= most) }'; }
service() { # KEY VALUE
	ask PUT "/service/scaler/$1" "{\"value\":$2}" >/dev/null
}
has_decision() { # JQ-CONDITION
	ask GET '/decision/?structure=web&limit=1000' | jq -e "any(.[]; .origin == \"reflex\" and $1)" >/dev/null
}
throttled() {
	sed -n 's/^nr_throttled //p' "$(cg cpu "$1")/cpu.stat"
}
throttled_past() { [ "$(throttled "$1")" -ge "$2" ]; }
nobody_watched() { curl -sf "http://$ADDRESS/metrics" | grep -qx 'ebb_agent_reflex_watched 0'; }
has_new_lease() { lease_at_least 10; }

make_cgroup web
make_cgroup other
start_loop
check guard guard web 20 60 64 512
check switch_on service REFLEX true
check lease_for_long service REFLEX_LEASE 30
check idle_falls_to_min wait_long is_idle web
check is_leased wait_long has_new_lease
check settled_before wait_long in_force web

kill -STOP "$CONTROLLER"
busy web 2
check grows_while_the_controller_is_stopped wait_long quota_is web 60
seen=$(throttled web)
check stays_throttled_at_its_max wait_long throttled_past web $((seen + 3))
same not_beyond_its_max "$(quota web)" 60
kill -CONT "$CONTROLLER"
check record_agrees wait_long in_force web
check adds_up wait_for adds_up
check the_reason_is_on_record has_decision '.resource == "cpu" and .outcome == "applied" and .applied == 60'
same nothing_was_taken_for_another_hand "$(cat "$TMP/controller.log" "$TMP/agent.log" | grep -c 'web.*another hand')" 0
idle
check falls_again wait_long is_idle web

# What grew while there was no controller, or one that ended before it had written it down.
check settled_before_the_end wait_long in_force web
check leased_at_the_end wait_long has_new_lease
kill_controller KILL
busy web 2
check grows_without_a_controller wait_long quota_is web 60
check starts_again start_controller
check takes_it_over wait_long in_force web
check adds_up_again wait_for adds_up
# Of memory, which still falls, an order of the last moment may not have been written when the controller was killed.
same nothing_was_changed_from_outside \
	"$(cat "$TMP/controller.log" "$TMP/agent.log" | grep -cE 'web.*(another hand|cpu limit was changed)')" 0
idle
check falls_after_that wait_long is_idle web

# A lease ends by itself.
check lease_for_short service REFLEX_LEASE 1
check short_lease wait_long lease_at_most 1
check falls_wholly wait_long is_idle web
check settled_again wait_long in_force web
kill -STOP "$CONTROLLER"
check lease_ends wait_long lease_at_most 0
before=$(quota web)
seen=$(throttled web)
busy web 2
check throttled_without_a_lease wait_long throttled_past web $((seen + 3))
same not_past_its_end "$(quota web)" "$before"
kill -CONT "$CONTROLLER"
check the_controller_goes_on wait_long quota_at_least web 50
idle
check falls_a_last_time wait_long is_idle web

# Off for one container, also after the controller was started again.
check lease_for_long_again service REFLEX_LEASE 30
check leased_again wait_long has_new_lease
check kept_out "$BUILD/ebb" --controller "http://$CONTROLLER_LISTEN" reflex web off
kill_controller TERM
check comes_again start_controller
check has_a_lease_again wait_long has_new_lease
check knows_it_again wait_long has_structure web
same is_kept_out "$(ask GET /structure/web | jq .reflex)" false
check told_again wait_long nobody_watched
kill -STOP "$CONTROLLER"
before=$(quota web)
seen=$(throttled web)
busy web 2
check throttled_and_kept_out wait_long throttled_past web $((seen + 3))
same was_kept_out "$(quota web)" "$before"
kill -CONT "$CONTROLLER"
check guarded_without_its_reflex wait_long quota_at_least web 50
idle
check falls_once_more wait_long is_idle web

# Off with one switch.
check switch_off service REFLEX false
check no_lease_any_more wait_long lease_at_most 0
check adds_up_at_the_end wait_for adds_up
check agrees_at_the_end wait_long in_force web
finish
