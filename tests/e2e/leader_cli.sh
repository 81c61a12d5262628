#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The command line with two controllers on one CouchDB: whichever is named, it shows what the one that
# leads knows; where that one cannot be asked it says so, and calls nothing away that is only unknown.
. "$(dirname "$0")/leader.bash"
need_peer couchdb leader_cli
need_cgroups leader_cli

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
check guard_web guard web 20 100 64 512
busy web 1
decided() { [ "$(of 1 '/decision/?structure=web' length)" -gt 0 ]; }
check a_decision_is_made wait_long decided
measured() { [ "$(of 1 '/structure/web?live' '.live.resources.cpu | has("usage")')" = true ]; }
check usage_is_measured wait_for measured
host=$(of 1 '/structure/?subtype=host' '.[0].name')
follows() { [ "$(of 2 /structure/web .guard)" = true ] && [ "$(of 2 "/structure/$host" .name)" = "$host" ]; }
check standby_follows_the_state wait_for follows

# ebb LIST WORD...: its exit status; out and err are in files.
ebb() {
	local list=$1
	shift
	EBB_CONTROLLER=$list "$BUILD/ebb" --agent "http://$ADDRESS" "$@" >"$TMP/out" 2>"$TMP/err"
	echo $?
}
leader=http://${LISTEN[1]} standby=http://${LISTEN[2]}

# --- what the API of one that stands by claims
same the_leader_knows_the_host "$(of 1 "/structure/$host?live" .live.connected)" true
same a_standby_claims_nothing_of_the_host "$(of 2 "/structure/$host?live" '.live | has("connected") or has("heard_s") or has("agentless")')" false
same nor_of_a_container "$(of 2 "/structure/web?live" '.live | has("connected")')" false
same nor_of_the_list "$(of 2 '/structure/?live' 'map(.live | has("connected")) | any')" false
same hosts_connected "$(of 1 /heartbeat .hosts_connected) $(of 2 /heartbeat .hosts_connected)" "1 null"
same metric_of_hosts_is_the_leaders "$(curl -s "$leader/metrics" | grep -c '^ebb_hosts_connected ') $(curl -s "$standby/metrics" | grep -c '^ebb_hosts_connected ')" "1 0"

# The guardian has decided something that `why` can tell.
decided() { [ "$(ebb "$leader" why web)" = 0 ] && grep -q 'Measured:' "$TMP/out"; }
check a_decision_was_made wait_for decided

# --- each reading verb, by the standby alone and by it first
for list in "$standby" "$standby,$leader" "http://127.0.0.1:1,$standby"; do
	name=$(printf '%s' "$list" | sed "s|$standby|standby|; s|$leader|leader|; s|http://127.0.0.1:1|nobody|; s|,|_|g")
	same "ps_shows_usage_by_$name" "$(ebb "$list" ps) $(awk '$1 == "web" {print $2, $4 ~ /^[0-9]/}' "$TMP/out") $(wc -l <"$TMP/err")" "0 $host 1 0"
	same "ps_json_by_$name" "$(ebb "$list" ps --json) $(jq -r '.[] | select(.name == "web").live | .connected, (.resources.cpu | has("usage"))' "$TMP/out" | tr '\n' ' ')" "0 true true "
	same "top_by_$name" "$(ebb "$list" top --once) $(awk '$1 == "web" {print $3 ~ /^[0-9]/}' "$TMP/out") $(wc -l <"$TMP/err")" "0 1 0"
	same "rules_by_$name" "$(ebb "$list" rules) $(wc -l <"$TMP/err")" "0 0"
	same "why_by_$name" "$(ebb "$list" why web) $(grep -c 'Measured:' "$TMP/out" | sed 's/[1-9][0-9]*/some/') $(wc -l <"$TMP/err")" "0 some 0"
	same "doctor_by_$name" "$(ebb "$list" doctor) $(grep -c '^FAIL' "$TMP/out")" "0 0"
	check "doctor_shows_the_host_by_$name" grep -q "^OK  *host  *$host: last sample batch" "$TMP/out"
	same "doctor_names_each_once_by_$name" "$(grep -c "^OK  *leader  *$leader leads, in term 1\$" "$TMP/out") $(grep -c "^OK  *standby  *$standby stands by\$" "$TMP/out")" "1 1"
done
same a_change_is_seen_at_once "$(ebb "$standby" unguard web) $(ebb "$standby" ps --json) $(jq '.[] | select(.name == "web").guard' "$TMP/out")" "0 0 false"
same and_back "$(ebb "$standby" guard web) $(ebb "$standby" ps --json) $(jq '.[] | select(.name == "web").guard' "$TMP/out")" "0 0 true"

# --- the one that leads cannot be asked from here
kill_ctl 2 TERM
kill_ctl 1 TERM
start_ctl 1 --advertise http://127.0.0.1:9 || not_ok first_starts_again
check first_leads_again wait_for leads 1
start_ctl 2 || not_ok second_starts_again
unreachable() { [ "$(of 2 /leader '.role + " " + (.leader // "-")')" = "standby http://127.0.0.1:9" ]; }
check second_stands_by_again wait_for unreachable
check follows_again wait_for follows
same ps_of_a_standby_is_shown "$(ebb "$standby" ps) $(awk '$1 == "web" {print $2, $3}' "$TMP/out") $(wc -l <"$TMP/err")" "0 $host (unknown) 1"
check and_it_says_so grep -q "^ebb: $standby stands by, and http://127.0.0.1:9, which leads, cannot be asked" "$TMP/err"
same nothing_is_away "$(grep -c away "$TMP/out")" 0
same top_says_so_too "$(ebb "$standby" top --once) $(grep -c 'stands by' "$TMP/err") $(wc -l <"$TMP/err")" "0 1 1"
same top_says_so_once "$(ebb "$standby" top --interval 0.1 --for 0.5) $(grep -c 'stands by' "$TMP/err")" "0 1"
same rules_are_shown "$(ebb "$standby" rules) $(grep -c cpu_exceeded_upper "$TMP/out") $(wc -l <"$TMP/err")" "0 1 1"
same why_does_not_guess "$(ebb "$standby" why web) $(wc -l <"$TMP/err") $(grep -c 'not connected' "$TMP/out")" "0 1 0"
same doctor_fails "$(ebb "$standby" doctor) $(grep -c '^FAIL  *leader  *http://127.0.0.1:9 leads.*--advertise' "$TMP/out")" "1 1"
same hosts_are_unknown "$(grep -c "^WARN  *host  *$host: unknown" "$TMP/out") $(grep -c 'last heard' "$TMP/out") $(grep -c '^FAIL  *hosts' "$TMP/out")" "1 0 0"
same nothing_can_be_changed "$(ebb "$standby" unguard web) $(grep -c "$standby stands by, and http://127.0.0.1:9, which leads, cannot be reached" "$TMP/err") $(wc -l <"$TMP/err")" "1 1 1"
check agent_is_back wait_for measured
same but_by_name_it_can_be_asked "$(ebb "$standby,$leader" ps) $(awk '$1 == "web" {print $2, $4 ~ /^[0-9]/}' "$TMP/out") $(wc -l <"$TMP/err")" "0 $host 1 0"
finish
