#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The verbs that manage a site against the real controller: hosts, containers, applications, users,
# rules, limits, services. Containers that are really limited: apply.sh. Beside others.
. "$(dirname "$0")/controller.bash"
if ! start_controller; then
	not_ok controller_starts
	finish
fi
same registers "$(register)" 200

# --- hosts; the one that is registered is taken over
same subscribe_host "$(ebb subscribe host h0) $(out)" "0 host h0 is subscribed"
same subscribed_host "$(ctl GET /structure/h0) $(body '[.automatic,.resources.cpu.max,.resources.mem.max]|tojson')" "200 [null,400,8192]"
same subscribe_host_again "$(ebb subscribe host h0) $(err | wc -l) $(err | grep -c 'h0')" "1 1 1"
same subscribe_host_that_is_away "$(ebb subscribe host h9 --address 127.0.0.1:1 --cpu 16c --mem 64G) $(err | wc -l)" "1 1"
same subscribe_host_range "$(ebb subscribe host h9 --cpu 1..2)" 2
same core_distribution "$(ebb set h0 core_distribution 'Spread_P&L') $(ctl GET /structure/h0) $(body .core_distribution)" '0 200 Spread_P&L'
same core_distribution_unknown "$(ebb set h0 core_distribution dance) $(err | grep -c 'Group_NUMA')" "1 1"
same feed "$(ebb set h0 feed local) $(ctl GET /structure/h0) $(body .feed)" "0 200 local"
same disk_of_none "$(ebb set h0 disk ssd_0 max_read 200) $(err)" "1 ebb: h0 has no disk 'ssd_0'"
ctl PUT /structure/host/h0/disks '{"resources":{"disks":[{"name":"ssd_0","type":"SSD","load":0,"path":"/mnt","max_read":100,"free_read":100,"max_write":50,"free_write":50}]}}' >/dev/null
same disk_resized "$(ebb set h0 disk ssd_0 max_read 200) $(ctl GET /structure/h0) $(body '[.resources.disks.ssd_0.max_read,.resources.disks.ssd_0.max_write]|tojson')" "0 200 [200,50]"
same disk_bad_param "$(ebb set h0 disk ssd_0 dance 200)" 2

# --- containers: what can be refused without an agent that answers
same subscribe_nothing "$(ebb subscribe)" 2
same subscribe_no_kind "$(ebb subscribe dance c0) $(err | grep -c "no kind 'dance'")" "2 1"
same subscribe_no_name "$(ebb subscribe app)" 2
same subscribe_unknown_container "$(ebb subscribe container nobody) $(err)" "1 ebb: no agent reports a container 'nobody': say on which host it is, with --host"
same subscribe_no_room "$(ebb subscribe container c0 --cpu 20..1600 --mem 64..128) $(err | grep -c 'enough free cpu')" "1 1"
same subscribe_bad_range "$(ebb subscribe container c0 --cpu 200..20)" 2
same desubscribe_unknown "$(ebb desubscribe container nobody) $(err | grep -c "no container 'nobody'")" "1 1"

# --- applications
same subscribe_apps "$(ebb subscribe app shop other --cpu 20..4c --mem 4G --boundary 7) $(out)" "0 app shop is subscribed
app other is subscribed"
same app_defaults "$(ctl GET /structure/shop) $(body '[.resources.cpu.min,.resources.cpu.max,.resources.cpu.weight,.resources.mem.min,.resources.mem.max,.guard]|tojson')" "200 [20,400,1,512,4096,false]"
same app_boundary "$(ebb --json limits shop cpu) $(jq -c '[.boundary,.boundary_type]' "$TMP/out")" '0 [7,"percentage_of_max"]'
same app_add "$(ebb app shop add c0 c1) $(out | tail -n 1)" "0   containers: c0 c1"
same app_add_twice "$(ebb app other add c0) $(err | wc -l)" "1 1"
same app_rm "$(ebb app shop rm c1) $(out | tail -n 1)" "0   containers: c0"
same app_rm_no_member "$(ebb app shop rm c1) $(err | wc -l)" "1 1"
same app_add_unknown "$(ebb app shop add nobody) $(err | grep -c nobody)" "1 1"
same app_state "$(ebb app shop state running) $(out | head -n 1)" "0 shop: running, not guarded"
same app_bad_state "$(ebb app shop state dancing) $(err | grep -c hdfs_uploading)" "1 1"
same app_guard "$(ebb guard shop) $(ebb app show shop) $(out | head -n 1)" "0 0 shop: running, guarded"
same app_set "$(ebb set shop mem max 8G) $(ebb app ls) $(awk '$1 == "shop" {print $2, $3, $4, $5, $6}' "$TMP/out")" "0 0 yes running 20..400 512..8192 1"
same app_json "$(ebb --json app ls) $(jq -r 'map(.name)|sort|join(" ")' "$TMP/out")" "0 other shop"
same app_show_a_container "$(ebb app show c0) $(err)" "1 ebb: c0 is a container, not an application"
same app_nonsense "$(ebb app shop dance)" 2

# --- users
same subscribe_user "$(ebb subscribe user alice --cpu 2000 --mem 64G) $(ctl GET /user/alice) $(body '[.resources.cpu.max,.resources.cpu.min,.resources.mem.max]|tojson')" "0 200 [2000,20,65536]"
same user_add "$(ebb user alice add shop other) $(out | tail -n 1)" "0   apps: shop other"
same user_rm "$(ebb user alice rm other) $(ebb user ls) $(awk '$1 == "alice" {print $4}' "$TMP/out")" "0 0 1"
same user_set "$(ebb user alice set cpu max 30c) $(ctl GET /user/alice/) $(body .resources.cpu.max)" "0 200 3000"
same user_set_bad "$(ebb user alice set cpu dance 1)" 2
same user_guard "$(ebb user alice guard) $(out | head -n 1) $(ctl GET /user/alice) $(body .guard)" "0 alice, guarded 200 true"
same user_guard_resource "$(ebb user alice guard mem) $(ctl GET /user/alice) $(body .resources.mem.guard)" "0 200 true"
same user_unguard "$(ebb user alice unguard mem) $(ebb user alice unguard) $(ctl GET /user/alice) $(body '[.guard,.resources.mem.guard]|map(. == true)|tojson')" "0 0 200 [false,false]"
same user_guard_no_resource "$(ebb user alice guard dance)" 2
same app_shows_its_user "$(ebb app show shop) $(out | head -n 1)" "0 shop of alice: running, guarded"
same user_show_of_nobody "$(ebb user show nobody) $(err | wc -l)" "1 1"

# --- a body from a file, JSON and YAML
cat >"$TMP/app.yaml" <<'END'
app: {name: third, subtype: application, guard: false, install_script: "", install_files: "", runtime_files: "",
  output_dir: "", start_script: start.sh, stop_script: "", resources: {cpu: {max: 100, min: 10, guard: true}, mem: {max: 512, min: 64, guard: false}}}
limits: {resources: {cpu: {boundary: 3, boundary_type: percentage_of_current}}}
END
same subscribe_from_a_file "$(ebb subscribe app third -f "$TMP/app.yaml") $(ctl GET /structure/third) $(body .start_script)" "0 200 start.sh"
same subscribe_from_a_wrong_file "$(ebb subscribe app fourth -f "$TMP/app.yaml") $(err | grep -c "'third'.*'fourth'")" "1 1"
same subscribe_from_no_file "$(ebb subscribe app fourth -f "$TMP/none") $(err | wc -l)" "1 1"

# --- limits
same limits "$(ebb limits third) $(out | awk '{print $1, $2, $3}' | tr '\n' ';')" "0 RESOURCE BOUNDARY OF;cpu 3% current;"
same limits_boundary "$(ebb limits shop cpu boundary 12) $(out | tail -n 1 | awk '{print $2}')" "0 12%"
same limits_type "$(ebb limits shop cpu type current) $(out | tail -n 1 | awk '{print $3}')" "0 current"
same limits_bad "$(ebb limits shop cpu boundary 101)" 2
same limits_dance "$(ebb limits shop cpu dance 1)" 2
same limits_no_resource "$(ebb limits shop dance)" 2
same limits_of_nobody "$(ebb limits nobody) $(err | wc -l)" "1 1"

# --- services
same service_list "$(ebb service) $(awk '$1 == "guardian" {print $2}' "$TMP/out")" "0 yes"
same service_key "$(ebb service guardian WINDOW_TIMELAPSE 2.5) $(out)" "0 2.5"
same service_show "$(ebb service guardian) $(awk '$1 == "WINDOW_TIMELAPSE" {print $2}' "$TMP/out")" "0 2.5"
same service_list_value "$(ebb service guardian GUARDABLE_RESOURCES cpu mem) $(out | jq -c .)" '0 ["cpu","mem"]'
same service_list_stays_one "$(ebb service guardian GUARDABLE_RESOURCES cpu) $(out | jq -c .)" '0 ["cpu"]'
same service_word "$(ebb service guardian STRUCTURE_GUARDED container) $(ebb service guardian STRUCTURE_GUARDED) $(out)" "0 0 container"
same service_refused "$(ebb service guardian WINDOW_TIMELAPSE -- -1) $(err | wc -l)" "1 1"
same service_unknown "$(ebb service dance) $(err | wc -l)" "1 1"
same service_key_not_set "$(ebb service scaler DANCE) $(err | grep -c 'at its default')" "1 1"

# --- rules
same rule_deactivate "$(ebb rules deactivate CpuRescaleUp) $(ctl GET /rule/CpuRescaleUp) $(body .active)" "0 200 false"
same rule_activate "$(ebb rules activate CpuRescaleUp CpuRescaleDown) $(ctl GET /rule/CpuRescaleUp) $(body .active)" "0 200 true"
same rule_amount "$(ebb rules amount CpuRescaleUp 60) $(ctl GET /rule/CpuRescaleUp) $(body .amount)" "0 200 60"
same rule_policy "$(ebb rules policy CpuRescaleUp amount) $(ctl GET /rule/CpuRescaleUp) $(body .rescale_policy)" "0 200 amount"
same rule_events "$(ebb rules events CpuRescaleUp up 3) $(ctl GET /rule/CpuRescaleUp) $(body .events_to_remove)" "0 200 3"
same rule_bad_policy "$(ebb rules policy CpuRescaleUp dance) $(err | wc -l)" "1 1"
same rule_of_nobody "$(ebb rules amount nobody 1) $(err | wc -l)" "1 1"
same rule_show "$(ebb rules show CpuRescaleUp) $(jq -r .name "$TMP/out")" "0 CpuRescaleUp"
cat >"$TMP/rule.yaml" <<'END'
name: high # one of the site's own
resource: cpu
generates: events
active: false
rule: {and: [{">": [{var: cpu.structure.cpu.usage}, {var: cpu.limits.cpu.upper}]}]}
action: {events: {scale: {up: 1}}}
END
same rule_add "$(ebb rules add "$TMP/rule.yaml") $(out)" "0 high is added"
same rule_add_twice "$(ebb rules add "$TMP/rule.yaml") $(err)" "1 ebb: there is a rule 'high' already: \`ebb rules edit high\`"
same rules_usage "$(ebb rules dance)" 2
same rules_too_few_words "$(ebb rules amount CpuRescaleUp) $(err | grep -c 'rules amount RULE NUMBER')" "2 1"

# --- editing: the editor is a script that changes the file
export TMPDIR=$TMP/edit EDITOR="$TMP/editor --flag"
mkdir "$TMPDIR"
editor() { printf '#!/bin/sh\n%s\n' "$1" >"$TMP/editor" && chmod +x "$TMP/editor"; }
left() { find "$TMPDIR" -type f | wc -l; }
editor 'sed -i "s/\"up\": 1/\"up\": 2/" "$2"'
same rule_edit "$(ebb rules edit high) $(out) $(ctl GET /rule/high) $(body .action.events.scale.up) $(left)" "0 high is changed 200 2 0"
editor ':'
same rule_edit_nothing "$(ebb rules edit high) $(out) $(left)" "0 high is as it was 0"
editor 'exit 1'
same rule_edit_given_up "$(ebb rules edit high) $(err | grep -c -- '--from ')" "1 1"
rm -f "$TMPDIR"/*
editor 'echo "{\"name\"" >"$2"'
same rule_edit_no_json "$(ebb rules edit high) $(err | grep -c -- '--from ') $(left)" "1 1 1"
rm -f "$TMPDIR"/*
editor 'sed -i "s/\"events\"/\"dances\"/" "$2"'
same rule_edit_refused "$(ebb rules edit high) $(err | wc -l) $(left)" "1 1 1"
kept=$(sed -n 's/.*--from \([^`]*\)`.*/\1/p' "$TMP/err")
check what_was_refused_is_kept grep -q dances "$kept"
editor 'sed -i "s/\"dances\"/\"events\"/; s/\"up\": 2/\"up\": 4/" "$2"'
same rule_edit_from_what_was_kept "$(ebb rules edit high --from "$kept") $(ctl GET /rule/high) $(body .action.events.scale.up) $(left)" "0 200 4 0"
# Somebody else is faster: their change stays, ours is kept.
editor "curl -sf -X PUT $CONTROLLER_ADDRESS/rule/high/activate >/dev/null && sed -i 's/\"up\": 4/\"up\": 5/' \"\$2\""
same rule_edit_loses_nobodys_change "$(ebb rules edit high) $(err | grep -c 'somebody has changed it') $(ctl GET /rule/high) $(body '[.active,.action.events.scale.up]|tojson') $(left)" "1 1 200 [true,4] 1"
same rule_rm "$(ebb rules rm high) $(ctl GET /rule/high)" "0 404"

# --- doctor, and out again
same doctor_names_the_sanity_checker "$(ebb doctor >/dev/null; grep -c ' sanity ' "$TMP/out")" 1
same sanity "$(ebb sanity run) $(out | tail -n 1 | grep -c ' found, ') $(ebb --json sanity) $(jq '.findings | type' "$TMP/out")" '0 1 0 "array"'
same sanity_dance "$(ebb sanity dance)" 2
same desubscribe_user "$(ebb desubscribe user alice) $(out) $(ctl GET /user/alice)" "0 user alice is desubscribed 404"
same desubscribe_apps "$(ebb desubscribe app shop other third) $(ctl GET /structure/shop) $(ctl GET /structure/third)" "0 404 404"
same desubscribe_wrong_kind "$(ebb desubscribe app c0) $(ctl GET /structure/c0)" "1 200"
same desubscribe_host "$(ebb desubscribe host h0) $(ctl GET /structure/h0)" "0 404"
stop_controller
finish
