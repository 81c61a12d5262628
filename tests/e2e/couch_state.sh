#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# State in a real CouchDB: what the loop decides is in the documents, and what somebody writes there by hand
# takes effect.
. "$(dirname "$0")/couch.bash"
need_peer couchdb couch_state
need_cgroups couch_state
cores=$(nproc)
[ "$cores" -gt 2 ] && cores=2
most=$((cores * 100))

make_cgroup web
make_cgroup db
start_couchdb || exit 1
STATE=$COUCHDB_STATE
start_loop

# --- what is decided is in the documents
check guard_web guard web 20 "$most" 64 512
check guarded_in_couchdb within 20 field_is structures web '[.guard,.resources.cpu.max]' "[true,$most]"
check guard_db guard db 20 "$most" 64 256
check rests within 40 is_idle web
busy web "$cores"
check rises_with_the_load within 40 quota_at_least web $((cores * 60))
current_is_in_force() { field_is structures web .resources.cpu.current "$(quota web)"; }
check limit_in_force_is_in_couchdb within 20 current_is_in_force
has_limits() { field limits web '.resources.cpu | .upper > .lower and .lower > 0' | grep -q true; }
check limits_are_in_couchdb within 20 has_limits
host_agrees() { field_is structures "$HOST" .resources.cpu.free "$(resource "$HOST" cpu free)"; }
check host_is_in_couchdb within 20 host_agrees
idle
check falls_without_load within 40 is_idle web
check all_documents_agree converges

# --- what did not change is not written
check rests_again within 40 is_idle db
nothing_is_decided() { [ "$(ask GET '/decision/?limit=1' | jq '.[0].at + 2 < now')" = true ]; }
check comes_to_rest within 40 nothing_is_decided
revisions() { echo "$(rev structures web) $(rev limits web) $(rev structures "$HOST") $(rev rules CpuRescaleUp)"; }
# A decision may still fall into one of the looks.
stays_for_3_s() {
	local before
	before=$(revisions)
	sleep 3
	[ "$(revisions)" = "$before" ]
}
check unchanged_is_not_written within 40 stays_for_3_s

# --- edits by hand
check edit_max edit structures web '.resources.cpu.max = 70'
check max_takes_effect within 20 eval '[ "$(resource web cpu max)" = 70 ]'
busy web "$cores"
check rises_to_the_new_max within 40 quota_is web 70
sleep 1
same does_not_rise_beyond "$(quota web)" 70
check edit_max_up edit structures web ".resources.cpu.max = $most"
check rises_beyond_the_old_max within 40 quota_at_least web $((cores * 60))
check edit_guard_off edit structures web '.guard = false'
check guard_off_takes_effect within 20 eval '[ "$(ask GET /structure/web | jq .guard)" = false ]'
held=$(quota web)
idle
sleep 2
same unguarded_stays_as_it_is "$(quota web)" "$held"
check edit_guard_on edit structures web '.guard = true'
check falls_when_guarded_again within 40 is_idle web
check edit_boundary edit limits web '.resources.cpu.boundary = 25'
check boundary_takes_effect within 20 eval '[ "$(ask GET /structure/web/limits/cpu | jq .boundary)" = 25 ]'
check edit_rule edit rules CpuRescaleUp '.active = false'
check rule_takes_effect within 20 eval '[ "$(ask GET /rule/CpuRescaleUp | jq .active)" = false ]'
busy web "$cores"
sleep 2
check does_not_rise_without_the_rule is_idle web
check edit_rule_back edit rules CpuRescaleUp '.active = true'
check rises_with_the_rule within 40 quota_at_least web $((cores * 60))
idle
check edit_service edit services guardian '.config.EVENT_TIMEOUT = 3'
check service_takes_effect within 20 eval '[ "$(ask GET /service/guardian | jq .config.EVENT_TIMEOUT)" = 3 ]'

# --- nonsense by hand changes nothing
check edit_nonsense edit structures db '.resources.cpu.max = "many" | .guard = "perhaps"'
sleep 1
same nonsense_has_no_effect "$(ask GET /structure/db | jq -c '[.guard,.resources.cpu.max]')" "[true,$most]"
check controller_goes_on adds_up
check edit_sense edit structures db ".resources.cpu.max = $most | .guard = true"

# --- what is not ours stays
check edit_foreign_fields edit structures web '.owner = {"mail": "a@b", "list": [1, 2.5, null]} | .resources.cpu.note = "mine"'
check edit_foreign_in_limits edit limits web '.comment = "mine"'
busy web "$cores"
check rises_once_more within 40 quota_at_least web $((cores * 60))
idle
check falls_once_more within 40 is_idle web
check foreign_fields_stay within 20 field_is structures web '[.owner,.resources.cpu.note]' '[{"mail":"a@b","list":[1,2.5,null]},"mine"]'
same foreign_fields_stay_in_limits "$(field limits web .comment)" '"mine"'
unknown='{"_id":"by-hand","type":"structure","subtype":"container","name":"nowhere","host":"h9","guard":false,"resources":{"cpu":{"max":100,"min":10,"guard":true},"mem":{"max":128,"min":64,"guard":true}}}'
couch PUT structures/by-hand "$unknown" >"$TMP/put"
check document_by_hand_is_known within 20 has_structure nowhere
couch DELETE "structures/by-hand?rev=$(rev structures nowhere)" >"$TMP/put"
check deleted_by_hand_is_gone within 20 eval '! has_structure nowhere'

# --- the next controller finds it all
kill_controller TERM
start_controller || not_ok controller_starts_again
same boundary_is_kept "$(ask GET /structure/web/limits/cpu | jq .boundary)" 25
same service_is_kept "$(ask GET /service/guardian | jq .config.EVENT_TIMEOUT)" 3
check still_guarded within 20 eval '[ "$(ask GET /structure/web | jq .guard)" = true ]'
busy web "$cores"
check scales_after_the_restart within 40 quota_at_least web $((cores * 60))
idle
check adds_up_in_the_end within 20 adds_up
finish
