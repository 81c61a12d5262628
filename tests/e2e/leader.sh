#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two controllers on one CouchDB, and an agent: one of them leads, whatever dies, hangs or stops; the
# agent finds it, and limits go on following the load.
. "$(dirname "$0")/leader.bash"
need_peer couchdb leader
need_cgroups leader
cores=$(nproc)
[ "$cores" -gt 2 ] && cores=2
top=$((cores * 60))

start_couchdb || exit 1
make_cgroup web
prefer_loads
start_ctl 1 || not_ok first_starts
check first_leads wait_for leads 1
start_ctl 2 || not_ok second_starts
check second_stands_by wait_for stands_by 2 1
check leader_knows_the_standby wait_for knows_standby 1 2
start_agent --controller "http://${LISTEN[2]},http://${LISTEN[1]}" || not_ok agent_starts
check agent_finds_the_leader wait_for fed_by 1
check guard_web guard web 20 $((cores * 100)) 64 512

# --- a standby answers reads and shows the way
follows() { [ "$(of 2 /structure/web .guard)" = true ]; }
check standby_follows_the_state wait_for follows
status() { curl -s -o "$TMP/body" -D "$TMP/headers" -w '%{http_code}' "$@"; }
same standby_redirects_a_change "$(status -X PUT "http://${LISTEN[2]}/structure/web/resources/cpu/min?a=b%20c" --data '{"value":20}')" 307
same to_the_same_path_of_the_leader "$(sed -n 's/^Location: \(.*\)\r$/\1/p' "$TMP/headers")" \
	"http://${LISTEN[1]}/structure/web/resources/cpu/min?a=b%20c"
same standby_takes_no_feed "$(status -X POST "http://${LISTEN[2]}/feed" --data '{"host":"x","session":"s","seq":1,"now":1}')" 421
same it_names_the_leader "$(body .leader)" "http://${LISTEN[1]}"
"$BUILD/ebb" --controller "http://${LISTEN[2]}" unguard web >"$TMP/out" 2>&1
same ebb_follows_to_the_leader "$? $(of 1 /structure/web .guard)" "0 false"
"$BUILD/ebb" --controller "http://127.0.0.1:1,http://${LISTEN[2]}" guard web >"$TMP/out" 2>&1
same ebb_takes_the_first_that_answers "$? $(of 1 /structure/web .guard)" "0 true"
"$BUILD/ebb" --controller "http://${LISTEN[2]}" doctor >"$TMP/out" 2>&1
check doctor_says_who_leads grep -q "leader .*http://${LISTEN[1]} leads, in term 1$" "$TMP/out"
check doctor_says_who_stands_by grep -q "standby .*http://${LISTEN[2]} stands by$" "$TMP/out"
check metrics_say_who_leads [ "$(curl -s "http://${LISTEN[1]}/metrics" "http://${LISTEN[2]}/metrics" |
	awk '/^ebb_controller_leading/ {print $2}' | tr '\n' ' ')" = "1 0 " ]

# --- the leader is killed under load
busy web "$cores"
check rises_with_the_load wait_long quota_at_least web "$top"
kill_ctl 1 KILL
check second_takes_over wait_for leads 2
# More than one further when the database was slow for a moment.
term=$(of 2 /leader .term)
check under_the_next_term [ "$term" -ge 2 ]
check agent_feeds_the_second wait_for fed_by 2
same still_guarded "$(of 2 /structure/web .guard)" true
idle
check scales_under_the_second wait_long is_idle web
check agent_knows_the_term wait_for eval '[ "$(agent_term)" = "$(of 2 /leader .term)" ]'
check adds_up_under_the_second wait_for adds_up
start_ctl 1 || not_ok first_starts_again
check first_stands_by_now wait_for stands_by 1 2

# --- orders of before are refused, also after the agent was killed
before=$(quota web)
order() { status -X PUT "http://$ADDRESS/container/web" -H "Ebb-Term: $1" --data '{"cpu":{"cpu_allowance_limit":77}}'; }
same old_order_is_refused "$(order 1) $(body .term) $(quota web)" "409 $(agent_term) $before"
kill_agent KILL
start_agent --controller "http://${LISTEN[1]},http://${LISTEN[2]}" || not_ok agent_starts_again
check agent_finds_the_second_again wait_for fed_by 2
kill_agent KILL
start_agent || not_ok agent_starts_alone
same old_order_is_refused_after_a_restart "$(order 1) $(quota web)" "409 $before"
same nonsense_is_no_term "$(order 0) $(order x) $(order 99999999999999999999)" "400 400 400"
check refusals_are_counted grep -q '^ebb_agent_outdated_total 1$' <(curl -s "http://$ADDRESS/metrics")
kill_agent TERM
start_agent --controller "http://${LISTEN[1]},http://${LISTEN[2]}" || not_ok agent_starts_for_all
check agent_feeds_the_second_again wait_for fed_by 2

# --- the leader hangs, and goes on after another has taken over
check standby_is_known_again wait_for knows_standby 2 1
kill -STOP "${CTL[2]}"
check first_takes_over_from_one_that_hangs wait_for leads 1
check agent_leaves_one_that_hangs wait_for fed_by 1
busy web "$cores"
check rises_under_the_first wait_long quota_at_least web "$top"
orders() { awk '/^ebb_agent_orders_total/ {print $2}' <(curl -s "http://$ADDRESS/metrics"); }
outdated() { awk '/^ebb_agent_outdated_total/ {print $2}' <(curl -s "http://$ADDRESS/metrics"); }
kill -CONT "${CTL[2]}"
check one_that_hung_stands_by wait_for stands_by 2 1
same it_redirects_now "$(status -X PUT "http://${LISTEN[2]}/structure/web/guard")" 307
check the_first_leads_on wait_for leads 1
idle
check scales_under_the_first wait_long is_idle web
check only_one_was_heard [ "$(agent_term)" = "$(of 1 /leader .term)" ]

# --- CouchDB goes: exactly one acts, and guards
if couchdb_is_ours; then
	check standby_is_known wait_for knows_standby 1 2
	term=$(of 1 /leader .term)
	kill_couchdb
	says_why() { [ -n "$(of 1 /leader .error)" ]; }
	check says_what_is_missing wait_for says_why
	for _ in 1 2 3 4 5 6; do
		echo "$(role 1) $(role 2)"
		sleep 0.5
	done | sort -u >"$TMP/roles"
	same one_of_two_acts_without_couchdb "$(cat "$TMP/roles")" "leader standby"
	busy web "$cores"
	check guards_without_couchdb wait_long quota_at_least web "$top"
	idle
	check and_back wait_long is_idle web
	restart_couchdb || not_ok couchdb_comes_back
	no_error() { [ "$(of 1 /leader .error)" = "" ]; }
	check lease_is_renewed_again wait_for no_error
	same in_the_same_term "$(of 1 /leader .term) $(role 2)" "$term standby"

	# alone: the standby has left, which the list shows at once
	kill_ctl 2 TERM
	check standby_struck_itself_off wait_for knows_no_standby 1
	kill_couchdb
	check alone_it_notices wait_for says_why
	busy web "$cores"
	check alone_it_guards_without_couchdb wait_long quota_at_least web "$top"
	idle
	check alone_and_back wait_long is_idle web
	same alone_it_leads "$(role 1)" leader
	restart_couchdb || not_ok couchdb_comes_back_again
	check alone_it_renews wait_for no_error
	start_ctl 2 || not_ok second_starts_again
	check second_stands_by_again wait_for stands_by 2 1
fi

# --- a clean stop hands over
kill_ctl 1 TERM
check second_leads_after_a_clean_stop wait_for leads 2
check agent_follows wait_for fed_by 2
same handed_over_not_waited_for "$(curl -s "${COUCHDB_STATE}services/ebb_leader" | jq -r .holder)" "http://${LISTEN[2]}"
check adds_up_in_the_end wait_for adds_up
kill_ctl 2 TERM
same given_up_in_the_end "$(curl -s "${COUCHDB_STATE}services/ebb_leader" | jq -r '.holder + (.standbys | length | tostring)')" 0
finish
