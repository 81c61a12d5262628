#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A clean stop leaves limits as they are, or with --restore-on-exit as they were before the agent changed them.
. "$(dirname "$0")/agent.bash"
. "$(dirname "$0")/../peers/peers.bash"
need_cgroups agent_restore

v1() { [ ! -e /sys/fs/cgroup/cgroup.controllers ]; }
quota() { if v1; then cat "$(cg cpu "$1")/cpu.cfs_quota_us"; else cut -d' ' -f1 "$(cg . "$1")/cpu.max"; fi; }
set_quota() { if v1; then echo "$2" >"$(cg cpu "$1")/cpu.cfs_quota_us"; else echo "$2 100000" >"$(cg . "$1")/cpu.max"; fi; }
mem() { if v1; then cat "$(cg memory "$1")/memory.limit_in_bytes"; else cat "$(cg . "$1")/memory.max"; fi; }
limits() { echo "$(quota "$1") $(mem "$1")"; }
# order NAME CPU MEM
order() { api PUT "/container/$1" "{\"cpu\":{\"cpu_allowance_limit\":$2},\"mem\":{\"mem_limit\":$3}}"; }
started() { start_agent "$@" || { not_ok agent_starts; finish; }; }

for name in web db new; do make_cgroup "$name"; done
set_quota db 80000
before_web=$(limits web)
before_db=$(limits db)

started
same ordered "$(order web 50 256)" 201
check stops stop_agent
same limits_stay "$(limits web)" "50000 $((256 << 20))"

started --restore-on-exit
for step in 30 60; do
	same "ordered_$step" "$(order web $step 128) $(order db $step 512)" '201 201'
done
same another_container_is_ordered "$(order new 40 300)" 201
set_quota new 77000
check stops_and_restores stop_agent
same back_to_what_it_found "$(limits web)" "50000 $((256 << 20))"
same back_to_what_was_never_ours "$(limits db)" "$before_db"
same another_hand_is_left_alone "$(quota new)" 77000
same and_the_rest_of_it_is_put_back "$(mem new)" "${before_web#* }"
check says_so grep -q 'put back the limits of 3 containers$' "$AGENT_LOG"
check leaves_no_pin eval '[ ! -e "$PIN" ]'

started --restore-on-exit
same nothing_ordered "$(limits web)" "50000 $((256 << 20))"
check stops_with_nothing_to_do stop_agent
same nothing_changed "$(limits web)" "50000 $((256 << 20))"

# --- One that SIGHUP excludes is left as at the end
printf '[agent]\nexclude = none-such\n' >"$TMP/ebb.conf"
before_web=$(limits web) before_db=$(limits db)
started --restore-on-exit --config "$TMP/ebb.conf"
same ordered_to_be_excluded "$(order web 35 128) $(order db 45 192)" '201 201'
sed -i 's/none-such/web/' "$TMP/ebb.conf"
kill -HUP "$AGENT"
check excluded wait_for knows_not web
is_back() { [ "$(limits "$1")" = "$2" ]; }
check excluded_has_its_limits_back wait_for is_back web "$before_web"
same the_others_keep_theirs "$(limits db)" "45000 $((192 << 20))"
sed -i 's/web/none-such/' "$TMP/ebb.conf"
kill -HUP "$AGENT"
check found_again wait_for knows web
# Also while an order lowers its memory, which takes as long as the page cache that it has.
cache=$(mktemp -d /var/tmp/ebb-test.XXXXXX)
put_first_at_exit "rm -rf '$cache'"
fill() {
	(
		for c in $(controllers); do echo "$BASHPID" >"$(cg "$c" web)/cgroup.procs" || exit 1; done
		exec dd if=/dev/zero of="$cache/$1" bs=1M count=220 conv=fdatasync status=none
	)
}
for round in 1 2 3; do
	fill $round
	curl -s -o /dev/null -X PUT -d '{"mem":{"mem_limit":64}}' "http://$ADDRESS/container/web" &
	lowering=$!
	sed -i 's/none-such/web/' "$TMP/ebb.conf"
	# Sooner and later: where it ends is the same.
	for ((i = 0; i < 5 * round; i++)); do grep -q . "/proc/$lowering/comm" || break; done 2>/dev/null
	kill -HUP "$AGENT"
	wait $lowering
	check "excluded_while_it_shrinks_$round" wait_for knows_not web
	check "has_its_limits_back_$round" wait_for is_back web "$before_web"
	sed -i 's/web/none-such/' "$TMP/ebb.conf"
	kill -HUP "$AGENT"
	check "found_again_$round" wait_for knows web
done
same takes_orders_again "$(order web 36 128)" 201
check stops_and_restores_both stop_agent
same both_are_back "$(limits web) $(limits db)" "$before_web $before_db"

# --- Counters go on where they were, as in an upgrade
disk=$(mktemp -d /var/tmp/ebb-test.XXXXXX)
put_first_at_exit "rm -rf '$disk'"
write_some() { # MIB
	(
		for c in $(controllers); do echo "$BASHPID" >"$(cg "$c" web)/cgroup.procs" || exit 1; done
		exec dd if=/dev/zero of="$disk/file" bs=1M count="$1" oflag=direct status=none
	)
}
written() {
	curl -s "http://$ADDRESS/metrics" | awk '/^container_fs_writes_bytes_total[{].*"web"/ {printf "%d\n", $2}'
}
# Nothing is told of it before its first sample.
has_written() { [ "$(written)" -ge "$1" ] 2>/dev/null; }
started
write_some 3
check its_writes_are_counted wait_for has_written $((3 << 20))
before=$(written)
check stops_for_an_upgrade stop_agent
started
check it_has_counted_no_less wait_for has_written "$before"
write_some 2
check and_counts_on wait_for has_written $((before + (2 << 20)))
check stops_at_last stop_agent
finish
