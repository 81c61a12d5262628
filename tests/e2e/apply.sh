#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ebb apply: the example's site on a real agent and its cgroups; again; after changes by hand; taking
# out; what cannot be.
. "$(dirname "$0")/controller.bash"
need_cgroups apply
make_cgroup web && make_cgroup batch || exit 1
if ! start_controller || ! start_agent --controller "$CONTROLLER_ADDRESS"; then
	not_ok starts
	finish
fi
there() { [ "$(ctl GET "/structure/$1")" = 200 ]; }
wait_for there web && wait_for there batch || not_ok agent_registers
LAYOUT=$TMP/layout.yaml
sed "s/name: h0 /name: $TAG /" "$(dirname "$0")/../../packaging/examples/layout.yaml" >"$LAYOUT"
# quota NAME, memory NAME: what the kernel has in force, shares and MiB.
quota() {
	local d us
	d=$(cg cpu "$1")
	if [ -f "$d/cpu.max" ]; then read -r us _ <"$d/cpu.max"; else us=$(<"$d/cpu.cfs_quota_us"); fi
	[ "$us" = max ] || echo $((us / 1000))
}
memory() {
	local d
	d=$(cg memory "$1")
	if [ -f "$d/memory.max" ]; then cat "$d/memory.max"; else cat "$d/memory.limit_in_bytes"; fi
}
# changes: how many a dry run shows.
changes() { ebb apply -f "$LAYOUT" --dry-run "$@" >/dev/null; grep -vc -e '^Nothing' -e '^note' "$TMP/out"; }

# --- the first time
same dry_run_has_changes "$(ebb apply -f "$LAYOUT" --dry-run) $(out | grep -c '^container web: subscribe (it came by itself)$')" "2 1"
same dry_run_changes_nothing "$(ctl GET /structure/shop) $(ctl GET /structure/web) $(body .automatic)" "404 200 true"
same dry_run_json "$(ebb --json apply -f "$LAYOUT" --dry-run) $(jq -r '.changes[0].path' "$TMP/out")" "2 /structure/host/$TAG"
same applies "$(ebb apply -f "$LAYOUT") $(err)" "0 "
total=$(out | wc -l)
same tells_each_change "$(out | head -n 1 | cut -d' ' -f1) $(out | tail -n 1 | cut -d' ' -f1)" "1/$total $total/$total"
same batch_is_limited "$(quota batch) $(memory batch)" "50 $((192 << 20))"
same container "$(ctl GET /structure/web) $(body '[.guard,.resources.cpu.min,.resources.cpu.max,.resources.mem.max,.automatic]|tojson')" "200 [true,20,100,256,null]"
same boundaries "$(ctl GET /structure/web/limits/cpu) $(body '[.boundary,.boundary_type]|tojson')" '200 [10,"percentage_of_current"]'
same application "$(ctl GET /structure/shop) $(body '[.containers,.state,.resources.mem.max]|tojson')" '200 [["web","batch"],"running",1024]'
same user "$(ctl GET /user/alice) $(body '[.clusters,.resources.cpu.max]|tojson')" '200 [["shop"],200]'
same rule_changed "$(ctl GET /rule/CpuRescaleUp) $(body '[.amount,.active,.rescale_type]|tojson')" '200 [50,true,"up"]'
same rule_added "$(ctl GET /rule/cpu_is_high) $(body .action.events.scale.up)" "200 1"
same service "$(ctl GET /service/guardian) $(body '[.config.WINDOW_TIMELAPSE,.config.GUARDABLE_RESOURCES]|tojson')" '200 [2,["cpu","mem"]]'

# --- again
same again_nothing "$(ebb apply -f "$LAYOUT") $(out)" "0 Nothing to do: everything is as the layout says."
same again_dry_run "$(ebb apply -f "$LAYOUT" --dry-run)" 0
same again_from_standard_input "$(timeout 30 "$BUILD/ebb" --controller "$CONTROLLER_ADDRESS" apply -f - -n <"$LAYOUT")" "Nothing to do: everything is as the layout says."

# --- changed by hand
ebb set batch cpu max 150 >/dev/null
ebb app shop rm batch >/dev/null
ebb rules amount CpuRescaleUp 75 >/dev/null
ebb service guardian WINDOW_TIMELAPSE 5 >/dev/null
ebb limits web cpu boundary 20 >/dev/null
ebb unguard web >/dev/null
same finds_each_hand_change "$(changes)" 6
same says_why "$(grep -c '^container batch: cpu max 100 (it is 150)$' "$TMP/out")" 1
same puts_it_back "$(ebb apply -f "$LAYOUT") $(changes)" "0 0"
same put_back "$(ctl GET /structure/shop) $(body '.containers|sort|tojson') $(ctl GET /structure/web) $(body .guard)" '200 ["batch","web"] 200 true'

# --- an edited layout: up over its max, and down below its min, in an order that is possible
sed -i 's/cpu: {min: 20, max: 100, current: 50, weight: 2}/cpu: {min: 120, max: 180, weight: 3}/' "$LAYOUT"
same range_upwards "$(ebb apply -f "$LAYOUT") $(ctl GET /structure/batch) $(body '[.resources.cpu.min,.resources.cpu.max,.resources.cpu.weight]|tojson')" "0 200 [120,180,3]"
sed -i 's/cpu: {min: 120, max: 180, weight: 3}/cpu: {min: 10, max: 60, weight: 3}/' "$LAYOUT"
same range_downwards "$(ebb apply -f "$LAYOUT") $(ctl GET /structure/batch) $(body '[.resources.cpu.min,.resources.cpu.max]|tojson')" "0 200 [10,60]"

# --- what cannot be changes nothing
echo 'hosts: [{name: h9, containers: [c9]}' >"$TMP/broken.yaml"
same broken_yaml "$(ebb apply -f "$TMP/broken.yaml") $(err | grep -c 'broken.yaml:2:1: ')" "1 1"
echo 'containers: [{name: web, resources: {cpu: {max: lots}}}]' >"$TMP/broken.yaml"
same wrong_value "$(ebb apply -f "$TMP/broken.yaml") $(err)" "1 ebb: $TMP/broken.yaml: containers[0].resources.cpu.max: this is not an amount of cpu, such as 200 (shares) or 2c (cores)"
echo 'containers: [{name: web, host: elsewhere}]' >"$TMP/broken.yaml"
same other_host "$(ebb apply -f "$TMP/broken.yaml") $(err | grep -c 'web is on host .* desubscribe it first. Nothing is changed')" "1 1"
same no_file "$(ebb apply -f "$TMP/none.yaml") $(err | wc -l)" "1 1"
same no_file_named "$(ebb apply)" 2

# --- it stops at the first that is refused, says so, and goes on when it is applied again
cat >"$TMP/stops.json" <<'END'
{"apps": [{"name": "first"}, {"name": "second", "resources": {"cpu": {"max": 100}, "disk_read": {"min": 1, "max": 5}}}],
 "users": [{"name": "bob", "clusters": ["first"]}], "services": {"guardian": {"WINDOW_TIMELAPSE": -1}, "scaler": {"REQUEST_TIMEOUT": 30}}}
END
ebb apply -f "$TMP/stops.json" >/dev/null
same stops "$(err | wc -l) $(err | grep -c 'service guardian: WINDOW_TIMELAPSE -1: .* 4 of 6 changes are made: apply it again') $(out | grep -c '^not done: ')" "1 1 2"
same stops_as_json "$(ebb --json apply -f "$TMP/stops.json") $(jq -c '[.made, (.changes | length)]' "$TMP/out")" "1 [0,2]"
sed -i 's/"WINDOW_TIMELAPSE": -1/"WINDOW_TIMELAPSE": 3/' "$TMP/stops.json"
same goes_on "$(ebb apply -f "$TMP/stops.json") $(out | wc -l) $(ebb apply -f "$TMP/stops.json" --dry-run)" "0 2 0"

# --- taking out, only when it is asked for
cat >"$TMP/small.yaml" <<END
hosts: [{name: $TAG, containers: [web]}]
applications: [{name: shop, containers: [web]}]
users: [{name: alice, clusters: []}]
END
same keeps_what_is_not_named "$(ebb apply -f "$TMP/small.yaml") $(ctl GET /user/bob) $(ctl GET /structure/second)" "0 200 200"
same prunes "$(ebb apply -f "$TMP/small.yaml" --prune) $(ctl GET /user/bob) $(ctl GET /structure/second) $(ctl GET /user/alice) $(body '.clusters|tojson')" "0 404 404 200 []"
same pruned_container_is_automatic "$(ctl GET /structure/batch) $(body .automatic) $(ctl GET /structure/shop) $(body '.containers|tojson')" '200 true 200 ["web"]'
same prune_again "$(ebb apply -f "$TMP/small.yaml" --prune --dry-run)" 0
same rules_stay "$(ctl GET /rule/cpu_is_high)" 200

# --- one container by the verb
same subscribe_container "$(ebb subscribe container batch --cpu 0.1c..0.4c --mem 64..128M --boundary 15) $(out) $(quota batch) $(memory batch)" "0 container batch is subscribed 40 $((128 << 20))"
same subscribed_container "$(ctl GET /structure/batch) $(body '[.host,.guard,.resources.cpu.min,.resources.cpu.current]|tojson')" "200 [\"$TAG\",false,10,40]"
same subscribe_container_again "$(ebb subscribe container batch) $(err | wc -l)" "1 1"
same desubscribe_container "$(ebb desubscribe container batch) $(ctl GET /structure/batch) $(body .automatic) $(quota batch)" "0 200 true 40"

# --- the original's own file
echo '{"hosts":[{"name":"'"$TAG"'","containers":["web"]}],"apps":[{"name":"old","containers":["web"]}]}' >"$TMP/layout.json"
same the_originals_layout "$(ebb apply -f "$TMP/layout.json") $(ctl GET /structure/old) $(body '[.containers[0],.resources.cpu.max,.resources.mem.min]|tojson')" '0 200 ["web",1600,512]'

# --- users are guarded too
echo 'users: [{name: carol, guard: true, resources: {cpu: {max: 4c, min: 20}}}, {name: alice, guard: true, resources: {mem: {guard: true}}}]' >"$TMP/users.yaml"
same guarded_users "$(ebb apply -f "$TMP/users.yaml") $(ctl GET /user/carol) $(body '[.guard,.resources.cpu.guard]|tojson') $(ctl GET /user/alice) $(body '[.guard,.resources.mem.guard]|tojson')" "0 200 [true,true] 200 [true,true]"
same guarded_users_again "$(ebb apply -f "$TMP/users.yaml" -n)" 0

# --- more than the controller tells in one answer
jq -nc '{apps: [range(5100) | {name: "many\(.)"}]}' >"$TMP/many.json"
same many "$(ebb apply -f "$TMP/many.json") $(out | tail -n 1 | cut -d' ' -f1) $(ebb apply -f "$TMP/many.json" -n)" "0 5100/5100 0"
stop_agent
stop_controller
finish
