#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A host as the original leaves it: documents, BDWatchdog's points in OpenTSDB, a Container Scaler. An
# ebb-agent that feeds nobody plays the latter, whose API it has; the points are what the cgroup really used.
. "$(dirname "$0")/loop.bash"
. "$(dirname "$0")/../peers/peers.bash"
. "$(dirname "$0")/mixed.bash"
need_cgroups mixed_site
need_peer opentsdb_double mixed_site
command -v sqlite3 >/dev/null || { skip mixed_site "needs sqlite3, to write documents"; exit 0; }

make_cgroup web
make_cgroup ghost
prefer_loads
start_agent || { not_ok agent_starts; finish; }
for i in web ghost; do check "the_container_scaler_knows_$i" wait_for knows "$i"; done
same limits_are_set "$(api PUT /container/web '{"cpu":{"cpu_allowance_limit":"50","cpu_num":"0"},"mem":{"mem_limit":"256"}}')" 201
SCALER=$ADDRESS
start_opentsdb_double || { not_ok opentsdb_starts; finish; }
put_points web &
FEEDER=$!
start_controller || { not_ok controller_starts; finish; }
ask PUT /service/guardian/FEED_GRACE '{"value":"1"}' >/dev/null
ask PUT /service/structures_snapshoter/POLLING_FREQUENCY '{"value":"1"}' >/dev/null
kill_controller TERM
put_documents
start_controller --opentsdb "$OPENTSDB" --spool none || { not_ok controller_starts_again; finish; }

check the_host_is_fed_from_opentsdb wait_long feed_is opentsdb
same the_limit_in_force_is_on_record "$(resource web cpu current) $(resource web mem current)" "50 256"
check adds_up_at_first wait_for adds_up
check the_unknown_one_is_left_out wait_long metric_is ebb_opentsdb_unknown_names 1
check the_other_has_data wait_long metric_is ebb_opentsdb_containers_with_data 1

busy web "$cores"
check rises_with_the_load wait_long quota_at_least web 60
check record_agrees_with_the_kernel wait_for quota_in_force
check adds_up_busy wait_for adds_up
same every_query_was_answered "$(metric ebb_opentsdb_query_failures_total)" 0

# Without data nothing shrinks, whatever the load does.
settled() { before=$(quota web) && sleep 1 && quota_is web "$before" && metric_is ebb_scaler_in_flight 0; }
control "$OPENTSDB" '{"fail":503}' >/dev/null
check opentsdb_is_seen_to_be_away wait_long metric_is ebb_opentsdb_query_reachable 0
check no_order_is_under_way wait_for settled
before=$(quota web)
idle
check it_is_asked_again wait_long metric_at_least ebb_opentsdb_query_failures_total 4
same nothing_changes_without_data "$(quota web)" "$before"
control "$OPENTSDB" '{"fail":null}' >/dev/null
falls() { quota_at_most web $((before - 10)); }
check falls_when_it_is_back wait_long wait_long falls
check adds_up_after_the_fall wait_for adds_up

# An agent comes, at another address, and takes over as things are.
kill_agent TERM
check no_order_is_left wait_for settled
before=$(quota web)
start_feeding_agent || not_ok agent_starts_to_feed
check the_agent_takes_over wait_for feed_is local
same without_a_jump "$(quota web)" "$before"
busy web "$cores"
check rises_by_the_agent wait_long quota_at_least web $((cores * 70))
check adds_up_with_the_agent wait_for adds_up
idle
check falls_by_the_agent wait_long is_idle web

# It goes; the Container Scaler is there again.
kill_agent KILL
"$BUILD/ebb-agent" --listen "$SCALER" --pin-dir "$PIN" --name "$TAG" --containers "$TAG/*" 2>"$AGENT_LOG" &
# shellcheck disable=SC2034 # for the cleanup of agent.bash
AGENT=$!
check opentsdb_again_when_the_agent_is_gone wait_long feed_is opentsdb
check adds_up_in_the_end wait_for adds_up
busy web "$cores"
check rises_from_opentsdb_again wait_long wait_long quota_at_least web 60
idle
kill_controller TERM
same controller_ends_cleanly $? 0
finish
