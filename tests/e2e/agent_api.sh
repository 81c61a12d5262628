#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The agent's API on real cgroups: what it shows is what the files hold, and what it is told to set
# gets there, or nothing does.
. "$(dirname "$0")/agent.bash"
need_cgroups agent_api

make_cgroup web
make_cgroup db
if ! start_agent; then
	not_ok agent_starts
	finish
fi
v1() { [ ! -e /sys/fs/cgroup/cgroup.controllers ]; }
quota() { if v1; then cat "$(cg cpu "$1")/cpu.cfs_quota_us"; else cut -d' ' -f1 "$(cg . "$1")/cpu.max"; fi; }
mem() { if v1; then cat "$(cg memory "$1")/memory.limit_in_bytes"; else cat "$(cg . "$1")/memory.max"; fi; }
# On v2 there are none of its own at first.
cpus() { cat "$(cg cpuset "$1")/cpuset.cpus" | grep . || cat "$(cg cpuset "$1")/cpuset.cpus.effective"; }
bps() { cat "$(cg blkio "$1")/blkio.throttle.$2_bps_device" 2>/dev/null || cat "$(cg . "$1")/io.max"; }
unlimited() { if v1; then echo -1; else echo max; fi; }

# --- Reading
same heartbeat "$(api GET /heartbeat) $(body .status)" "200 alive"
same topology_lists_every_cpu "$(api GET /host/cpu_topology) $(body '[.[][][]]|sort|map(tostring)|join(" ")')" \
	"200 $(for d in /sys/devices/system/cpu/cpu[0-9]*; do
		[ "$(cat "$d/online" 2>/dev/null || echo 1)" = 1 ] && echo "${d##*cpu}"
	done | sort -n | tr '\n' ' ' | sed 's/ $//')"
same list_names "$(api GET /container/) $(body 'keys|join(" ")')" "200 db web"
same list_without_slash "$(api GET /container) $(body 'keys|join(" ")')" "200 db web"
same one_by_query "$(api GET '/container/?name=web') $(body 'keys|join(" ")')" "200 cpu disk_read disk_write mem net"
same one_by_path "$(api GET /container/web) $(body .cpu.cpu_allowance_limit) $(body .mem.mem_limit)" "200 -1 -1"
same cpus_are_the_files "$(body .cpu.cpu_num)" "$(cpus web)"
same effective_limit "$(body .cpu.effective_cpu_limit)" "$(($(body .cpu.effective_num_cpus) * 100))"
same unknown_is_404 "$(api GET /container/none) $(body .error)" "404 Not Found"
same unknown_by_query_is_404 "$(api GET '/container/?name=none')" 404
same resources_flagged "$(api GET '/container/resources/web?cpu') $(body 'keys|join(" ")')" "200 cpu"
same resources_two_flags "$(api GET '/container/resources/web?mem&cpu=1') $(body 'keys|join(" ")')" "200 cpu mem"
same resources_disk_is_both "$(api GET '/container/resources/web?disk') $(body 'keys|join(" ")')" "200 disk_read disk_write"
same resources_unlimitable "$(api GET '/container/resources/web?energy&net') $(body '. == {energy: {}, net: {}}')" "200 true"
same resources_no_flag "$(api GET /container/resources/) $(body tojson)" '200 {"db":{},"web":{}}'
same resources_all "$(api GET '/container/resources/?mem') $(body .db.mem.unit)" "200 unlimited"
same resources_by_query "$(api GET '/container/resources/?mem&name=db') $(body 'keys|join(" ")')" "200 mem"
same resources_unknown_is_404 "$(api GET '/container/resources/none?cpu')" 404
same no_such_route "$(api GET /nothing)" 404
same wrong_method "$(api DELETE /container/web)" 405

# --- Setting
same put_cpu "$(api PUT /container/web '{"cpu":{"cpu_allowance_limit":150,"cpu_num":"0"}}') $(body .cpu.cpu_allowance_limit) $(body .cpu.cpu_num)" "201 150 0"
same put_cpu_in_the_files "$(quota web) $(cpus web)" "150000 0"
same put_cpu_effective "$(body .cpu.effective_cpu_limit)" 100
check put_tells_when grep -qiE '^ebb-applied-ns: [0-9]+' "$TMP/headers"
same put_numeric_strings "$(api PUT /container/web '{"cpu":{"cpu_allowance_limit":"50"},"mem":{"mem_limit":"256"}}')" 201
same put_numeric_strings_in_the_files "$(quota web) $(mem web)" "50000 $((256 << 20))"
same put_shrinks_memory "$(api PUT /container/web '{"mem":{"mem_limit":128}}') $(body .mem.mem_limit) $(mem web)" "201 128 $((128 << 20))"
check shrink_tells_when grep -qiE '^ebb-applied-ns: [0-9]+' "$TMP/headers"
same the_other_is_untouched "$(quota db)" "$(unlimited)"
same put_trailing_slash "$(api PUT /container/db/ '{"cpu":{"cpu_allowance_limit":70}}') $(quota db)" "201 70000"
same put_unlimited "$(api PUT /container/web '{"cpu":{"cpu_allowance_limit":-1,"cpu_num":-1},"mem":{"mem_limit":-1}}') $(body .cpu.cpu_allowance_limit) $(body .mem.mem_limit)" "201 -1 -1"
same put_unlimited_in_the_files "$(quota web) $(cpus web)" "$(unlimited) $(cpus "")"
same put_both_growing_and_shrinking "$(api PUT /container/db '{"cpu":{"cpu_allowance_limit":20},"mem":{"mem_limit":512}}') $(quota db) $(mem db)" "201 20000 $((512 << 20))"

api GET /container/web >/dev/null
if [ "$(body '.disk_read|length')" -gt 0 ]; then
	device="$(body .disk_read.major):$(body .disk_read.minor)"
	same put_disk "$(api PUT /container/web '{"disk_read":{"disk_read_limit":10},"disk_write":{"disk_write_limit":"20"}}') $(body .disk_read.disk_read_limit) $(body .disk_write.disk_write_limit)" "201 10 20"
	same put_disk_in_the_files "$(bps web read | grep -o "$device.*10485760" | wc -l) $(bps web write | grep -o "$device.*20971520" | wc -l)" "1 1"
	same put_disk_unlimited "$(api PUT /container/web '{"disk_read":{"disk_read_limit":-1},"disk_write":{"disk_write_limit":-1}}') $(body .disk_read.disk_read_limit)" "201 -1"
	check put_disk_unlimited_in_the_files [ -z "$(bps web read)$(bps web write)" ]
else
	skip put_disk "the disk under / cannot be limited here"
	same put_disk_refused "$(api PUT /container/web '{"disk_read":{"disk_read_limit":10}}')" 400
fi

# --- Refusing: nothing may have changed after any of these.
api PUT /container/web '{"cpu":{"cpu_allowance_limit":110,"cpu_num":"0"},"mem":{"mem_limit":300}}' >/dev/null
state() { echo "$(quota web) $(cpus web) $(mem web) $(bps web read)"; }
before=$(state)
same set_up_for_refusals "$before" "110000 0 $((300 << 20)) "
n=0
while read -r status request; do
	n=$((n + 1))
	same "refused_$n" "$(api PUT /container/web "$request") $(body 'has("error") and has("message")') $(state)" "$status true $before"
done <<'END'
400 {"cpu":{"cpu_allowance_limit":50},"mem":{"mem_limit":63}}
400 {"mem":{"mem_limit":1024},"cpu":{"cpu_allowance_limit":0}}
400 {"cpu":{"cpu_allowance_limit":-5}}
400 {"cpu":{"cpu_allowance_limit":"many"}}
400 {"cpu":{"cpu_allowance_limit":null}}
400 {"cpu":{"cpu_allowance_limit":50,"cpu_num":"9999"}}
400 {"cpu":{"cpu_allowance_limit":50,"cpu_num":""}}
400 {"cpu":{"cpu_allowance_limit":50,"cpu_num":"0-"}}
400 {"cpu":{"cpu_allowance_limit":50},"gpu":{"gpu_limit":1}}
400 {"cpu":{"cpu_allowance_limit":50},"energy":{"energy_limit":60}}
400 {"cpu":{"cpu_allowance_limit":50},"net":{"net_limit":60}}
400 {"cpu":{"cpu_allowance_limit":50,"cpu_shares":2}}
400 {"cpu":50}
400 {"cpu":{}}
400 {}
400 []
400 nonsense
400 {"cpu":{"cpu_allowance_limit":50}
400 {"disk_read":{"disk_read_limit":0}}
END
same refused_without_body "$(api PUT /container/web) $(state)" "400 $before"
same refused_bad_utf8 "$(api PUT /container/web $'{"cpu":{"cpu_num":"\xff"}}') $(state)" "400 $before"
head -c 100000 /dev/zero | tr '\0' ' ' >"$TMP/large"
same refused_large_body "$(api PUT /container/web "@$TMP/large") $(state)" "413 $before"
same put_unknown_is_404 "$(api PUT /container/none '{"cpu":{"cpu_allowance_limit":50}}')" 404
same put_unknown_path_is_404 "$(api PUT /container/..%2f..%2fweb '{"cpu":{"cpu_allowance_limit":50}}' | sed 's/400/404/')" 404

# --- One write of several fails: what was written before is put back.
if v1; then
	# No child may have a larger quota than its parent on v1.
	echo 120000 >"$(cg cpu "")/cpu.cfs_quota_us"
	same failed_write_is_500 "$(api PUT /container/web '{"cpu":{"cpu_allowance_limit":150,"cpu_num":-1},"mem":{"mem_limit":400}}')" 500
	same failed_write_puts_back "$(state)" "$before"
	same failed_write_says_which "$(body .resources.cpu.cpu_num) / $(body .resources.cpu.cpu_allowance_limit) / $(body .resources.mem.mem_limit)" "put back / failed: Invalid argument / not tried"
	echo -1 >"$(cg cpu "")/cpu.cfs_quota_us"
else
	skip failed_write_is_500 "cgroup v2 takes any quota"
fi

# --- Memory in use is not taken away.
(
	echo "$BASHPID" >"$(cg memory web)/cgroup.procs"
	head -c 150M /dev/zero | tail -c 150M | sleep 1000
) &
disown
holds() { [ "$(awk '/^(total_)?(rss|anon) /{print $2; exit}' "$(cg memory web)/memory.stat")" -gt $((150 << 20)) ]; }
wait_for holds
sampled() {
	api GET /metrics >/dev/null
	[ "$(sed -n 's/^container_memory_working_set_bytes{.*name="web"} //p' "$TMP/body")" -gt $((150 << 20)) ]
}
wait_for sampled
same shrink_below_use_is_partial "$(api PUT /container/web '{"mem":{"mem_limit":64}}') $(grep -ci '^ebb-partial: mem' "$TMP/headers") $(body .mem.asked)" "201 1 64"
limit=$(mem web)
check shrink_below_use_keeps_what_is_used [ "$limit" -gt $((150 << 20)) ]
check shrink_below_use_still_lowers [ "$limit" -lt $((300 << 20)) ]
same shrink_below_use_tells_the_truth "$(body '.mem.mem_limit * 1048576')" "$limit"

# --- Names that look like routes, or like nothing.
for name in resources tcp 'a b' 'x%y' 'é'; do make_cgroup "$name"; done
wait_for knows tcp
check name_tcp knows tcp
same name_resources "$(api GET '/container/?name=resources') $(body 'has("cpu")')" "200 true"
same name_resources_flagged "$(api GET '/container/resources/resources?mem') $(body 'keys|join(" ")')" "200 mem"
same name_resources_put "$(api PUT /container/resources '{"cpu":{"cpu_allowance_limit":33}}') $(quota resources)" "201 33000"
same name_list_is_not_confused "$(api GET '/container/resources/?cpu') $(body 'has("resources") and has("web")')" "200 true"
same name_with_blank "$(api PUT /container/a%20b '{"cpu":{"cpu_allowance_limit":34}}') $(quota 'a b')" "201 34000"
same name_with_percent "$(api PUT /container/x%25y '{"cpu":{"cpu_allowance_limit":35}}') $(quota 'x%y')" "201 35000"
same name_not_ascii "$(api PUT /container/%C3%A9 '{"cpu":{"cpu_allowance_limit":36}}') $(quota 'é')" "201 36000"

# --- Names that are paths, other spellings of one, or no text: what is not the name of a container is not found.
others() { echo "$(quota "") $(mem "") $(quota web) $(quota a\ b)"; }
before=$(others)
aaaa=$(printf 'a%.0s' {1..4096})
wrong=
for name in .. . ../web web/.. web/../web ./web //web %2e%2e %2e%2e/web %2e%2e%2fweb %2E/web web%2f..%2fweb "..%2f$TAG%2fweb" \
	"$TAG/web" "$TAG%2fweb" "%2f$TAG%2fweb" %2fsys%2ffs%2fcgroup web%00 web%00b %00 web%0a %0aweb web%0d%0a web%20 %09web \
	web%2e %25web web%ff %c0%ae%c0%ae%c0%afweb %ed%a0%80 %ef%bb%bfweb % %2 %zz web%zz WEB '~1' "$aaaa" "$aaaa%2fweb" "web%2f$aaaa" \
	'web%5c' 'a%2520b'; do
	for query in "/container/$name" "/container/?name=$name" "/container/resources/$name?cpu"; do
		method=PUT
		[ "$query" = "/container/$name" ] || method=GET
		status=$(curl -s -o "$TMP/body" --path-as-is --globoff -w '%{http_code}' -X $method \
			--data-binary '{"cpu":{"cpu_allowance_limit":11}}' "http://$ADDRESS$query")
		case $status in
		400 | 404 | 405 | 414 | 431) ;;
		*) wrong+=" ${query:0:60}=$status" ;;
		esac
	done
done
same tricks_find_nothing "$wrong" ""
same tricks_change_nothing "$(others)" "$before"

# --- Metrics
same metrics "$(api GET /metrics)" 200
metric() { grep -qF "$1" "$TMP/body"; }
check metrics_type grep -qi '^content-type: text/plain; version=0.0.4' "$TMP/headers"
check metrics_of_a_container metric "container_cpu_cfs_periods_total{id=\"/$TAG/web\",name=\"web\"}"
check metrics_limit metric "container_spec_memory_limit_bytes{id=\"/$TAG/db\",name=\"db\"} $((512 << 20))"
check metrics_containers metric "ebb_agent_containers 7"
check metrics_floored metric "ebb_agent_memory_floored_total 1"
check metrics_own_cost metric "ebb_agent_cpu_seconds_total "
same metrics_no_broken_line "$(grep -cvE '^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? [0-9.e+-]+)$' "$TMP/body")" 0

# --- A long list is read in slices: nobody is left out, and other calls are answered meanwhile.
make_many many 250
counts() { [ "$(api GET /container/ >/dev/null; body length)" = "$1" ]; }
check many_are_listed wait_for counts 257
same many_are_whole "$(body '[.[]|select(.cpu.cpu_allowance_limit and .mem.mem_limit)]|length')" 257
curl -s "http://$ADDRESS/container/" | jq length >"$TMP/list1" &
one=$!
curl -s "http://$ADDRESS/container/resources/?cpu&mem" | jq length >"$TMP/list2" &
two=$!
same one_beside_the_lists "$(api GET /container/many250)" 200
wait $one $two
same lists_at_the_same_time "$(cat "$TMP/list1" "$TMP/list2" | tr '\n' ' ')" "257 257 "
# Some go while the list is being read.
curl -s "http://$ADDRESS/container/" | jq 'has("web")' >"$TMP/list3" &
one=$!
remove_many many
wait $one
same list_while_they_go "$(cat "$TMP/list3")" true
check many_are_gone wait_for counts 7

check clean_stop stop_agent
same limits_stay "$(quota resources) $(mem web)" "33000 $limit"
finish
