#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Names and labels: cgroups as the engines name them, the engines' state files as they write them, and
# what the agent, the controller and ebb make of both.
. "$(dirname "$0")/controller.bash"
need_cgroups names
STATE=$TMP/engines
RECORD=$TMP/names
SECOND=
# No other one's: an agent sees all of a host.
id() { printf '%032x%032x' "$$" "$((0x$1))"; }
POD=0a1b2c3d-0000-4000-8000-000000000001
PODS=${POD//-/_}

# make_nested NAME: with the cgroups above it, as the engines make them.
make_nested() {
	local c
	for c in $(controllers); do mkdir -p "$(cg "$c" "$1")" || return 1; done
}
remove_nested() {
	local c
	for c in $(controllers); do find "$(cg "$c" "")$1" -mindepth "${2:-0}" -depth -type d -exec rmdir {} + 2>/dev/null; done
}
end_of_names() {
	[ -n "$SECOND" ] && kill -9 "$SECOND" 2>/dev/null && wait "$SECOND" 2>/dev/null
	[ -n "$AGENT" ] && kill -9 "$AGENT" 2>/dev/null && wait "$AGENT" 2>/dev/null
	AGENT=
	remove_nested "" 1
	rm -rf "$PIN-2"
	end_of_controller_test
}
trap end_of_names EXIT
# put FILE TEXT: below the engines' state.
put() {
	mkdir -p "$STATE/${1%/*}"
	printf '%s' "$2" >"$STATE/$1.new"
	mv "$STATE/$1.new" "$STATE/$1"
}
docker_says() { put "docker/containers/$1/config.v2.json" "{\"ID\":\"$1\",\"Name\":\"/$2\",\"Config\":{\"Image\":\"$3\",\"Labels\":{}}}"; }
# containerd_says ID CONTAINER POD, crio_says likewise.
containerd_says() {
	put "containerd/k8s.io/$1/config.json" "{\"annotations\":{\"io.kubernetes.cri.container-type\":\"container\",
		\"io.kubernetes.cri.container-name\":\"$2\",\"io.kubernetes.cri.sandbox-name\":\"$3\",
		\"io.kubernetes.cri.sandbox-namespace\":\"shop\",\"io.kubernetes.cri.image-name\":\"reg/$2:1\"}}"
}
crio_says() {
	put "crio/overlay-containers/$1/userdata/config.json" "{\"annotations\":{\"io.kubernetes.container.name\":\"$2\",
		\"io.kubernetes.pod.name\":\"$3\",\"io.kubernetes.pod.namespace\":\"shop\",
		\"io.kubernetes.cri-o.ImageName\":\"quay.io/$2:2\",\"io.kubernetes.cri-o.ContainerType\":\"container\"}}"
}
podman_says() { # ID NAME...
	local list= comma=
	while [ $# -gt 1 ]; do
		list+="$comma{\"id\":\"$1\",\"names\":[\"$2\"],\"metadata\":\"{\\\"image-name\\\":\\\"localhost/$2:3\\\"}\"}"
		comma=,
		shift 2
	done
	put podman/overlay-containers/containers.json "[$list]"
}
OPTIONS=(--name-record "$RECORD" --exclude "$TAG/never/*" --exclude image=localhost/hidden:* --exclude "$TAG-skip*")
for e in docker podman containerd nspawn apptainer lxd; do OPTIONS+=(--engine-state "$e=$STATE/$e"); done
OPTIONS+=(--engine-state "cri-o=$STATE/crio")
feeding() { start_agent --controller "$CONTROLLER_ADDRESS" "${OPTIONS[@]}" "$@"; }
# here: what the agent has of this test, sorted. All of it has the tag in its name, or in its pod's.
here() { api GET /container/ >/dev/null; jq -r 'keys[]' "$TMP/body" | grep -e "$TAG" | sort | paste -s -d ' '; }
here_is() { [ "$(here)" = "$1" ]; }
labels_of() { ctl GET "/structure/$1" >/dev/null; body '[.labels | .engine, .namespace, .pod, .name, .image, .id] | map(. // "-") | join(" ")'; }
labels_are() { [ "$(labels_of "$1")" = "$2" ]; }
log_line() { grep -q "$1" "$AGENT_LOG"; }

# --- fixtures of every engine, both cgroup drivers
docker_says "$(id 1)" "$TAG-d1" nginx:1.25
docker_says "$(id 2)" "$TAG-d2" 'a\"b\\c'
podman_says "$(id 3)" "$TAG-p1" "$(id 30)" hidden "$(id 31)" "$TAG-skipped"
containerd_says "$(id 4)" app "$TAG-web-0"
containerd_says "$(id 5)" side "$TAG-web-0"
crio_says "$(id 6)" app "$TAG-db-0"
put apptainer/node/root/solver/solver.json "{\"pid\":42$$,\"name\":\"$TAG-solver\",\"image\":\"/img/solver.sif\"}"
put "nspawn/$TAG-box" "NAME=$TAG-box
CLASS=container
ROOT=/var/lib/machines/box
ID=c1f2
"
mkdir -p "$STATE/lxd/containers/$TAG-c1"
GLOB=globbed/*
for d in "docker/$(id 1)" "system.slice/docker-$(id 2).scope" "machine.slice/libpod-$(id 3).scope" \
	"machine.slice/libpod-conmon-$(id 3).scope" "machine.slice/libpod-$(id 30).scope" "machine.slice/libpod-$(id 31).scope" \
	"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod$PODS.slice/cri-containerd-$(id 4).scope" \
	"kubepods/besteffort/pod$POD/$(id 5)" \
	"kubepods.slice/kubepods-pod$PODS.slice/crio-$(id 6).scope" \
	system.slice/apptainer-42$$.scope "machine.slice/machine-${TAG//-/\\x2d}\\x2dbox.scope" \
	"lxc.payload.$TAG-c1" "lxc.payload.$TAG-c2" "globbed/$TAG.service" "never/docker/$(id 7)" \
	"user.slice/user-4294967000.slice/user@4294967000.service/lxc.payload.$TAG-skip"; do
	make_nested "$d" || exit 1
done
if ! start_controller || ! feeding; then
	not_ok starts
	finish
fi
ALL="$TAG-box $TAG-c1 $TAG-c2 $TAG-d1 $TAG-d2 $TAG-p1 $TAG-skip@lxc.4294967000 $TAG-solver $TAG.service shop_$TAG-db-0_app shop_$TAG-web-0_app shop_$TAG-web-0_side"
check engines_names wait_for here_is "$ALL"
same excluded_by_path_image_and_name "$(here)" "$ALL"
same a_user_hides_nothing_by_a_name "$(knows "$TAG-skip@lxc.4294967000" && echo known)" known
label() { check "labels_${1%% *}" wait_for labels_are "${2:-$1}" "$3"; }
label docker "$TAG-d1" "docker - - $TAG-d1 nginx:1.25 $(id 1)"
label docker_systemd "$TAG-d2" "docker - - $TAG-d2 a\"b\\c $(id 2)"
label podman "$TAG-p1" "podman - - $TAG-p1 localhost/$TAG-p1:3 $(id 3)"
label containerd "shop_$TAG-web-0_app" "containerd shop $TAG-web-0 app reg/app:1 $(id 4)"
label cgroupfs_driver "shop_$TAG-web-0_side" "containerd shop $TAG-web-0 side reg/side:1 $(id 5)"
label crio "shop_$TAG-db-0_app" "cri-o shop $TAG-db-0 app quay.io/app:2 $(id 6)"
label apptainer "$TAG-solver" "apptainer - - $TAG-solver /img/solver.sif -"
label nspawn "$TAG-box" "nspawn - - $TAG-box /var/lib/machines/box c1f2"

# --- they travel
same ps_labels "$(ebb ps --labels "shop_$TAG-web-0_app") $(tail -n 1 "$TMP/out" | grep -c "containerd *shop *$TAG-web-0 *app *reg/app:1")" "0 1"
sampled() { api GET /metrics >/dev/null; grep -q "container_memory_usage_bytes{.*name=\"$1\"" "$TMP/body"; }
wait_for sampled "$TAG-d1" && wait_for sampled "$TAG-d2" && wait_for sampled "shop_$TAG-web-0_app"
same agent_metrics "$(grep -c "^container_memory_usage_bytes{id=\"/$TAG/docker/$(id 1)\",name=\"$TAG-d1\",image=\"nginx:1.25\"}" "$TMP/body")" 1
same agent_metrics_of_pods "$(grep -c "^container_memory_usage_bytes{.*name=\"shop_$TAG-web-0_app\",image=\"reg/app:1\",namespace=\"shop\",pod=\"$TAG-web-0\",container=\"app\"}" "$TMP/body")" 1
same agent_metrics_escape "$(grep -cF 'image="a\"b\\c"}' "$TMP/body" | sed 's/^[1-9][0-9]*$/some/')" some
ctl GET /metrics >/dev/null
same controller_metrics "$(grep -c "^ebb_structure_info{structure=\"shop_$TAG-web-0_app\",host=\"$TAG\",engine=\"containerd\",container=\"app\",namespace=\"shop\",pod=\"$TAG-web-0\",image=\"reg/app:1\"} 1" "$TMP/body")" 1
same controller_metrics_once "$(grep -c "^ebb_structure_info{structure=\"$TAG-d1\"" "$TMP/body")" 1

# --- an engine whose state is not there costs a name, and that comes later
make_nested "docker/$(id 8)"
check by_its_id_then wait_for knows "$(id 8)"
check and_it_is_sampled wait_for sampled "$(id 8)"
# It is guarded under that name.
quota_of() { cat "$(cg cpu "docker/$(id "$1")")/cpu.cfs_quota_us" 2>/dev/null || cut -d' ' -f1 "$(cg cpu "docker/$(id "$1")")/cpu.max"; }
cpu_of() { ctl GET "/structure/$1" >/dev/null; body '[.guard, .resources.cpu.max, .resources.cpu.min, .resources.cpu.current] | join(" ")'; }
cpu_is() { [ "$(cpu_of "$1") $(quota_of 8)" = "$2" ]; }
host_has() { ctl GET "/structure/$TAG" >/dev/null; body '[.resources.cpu.max - .resources.cpu.free, .resources.mem.max - .resources.mem.free] | join(" ")'; }
controller_has() { [ "$(ctl GET "/structure/$1")" = 200 ]; }
check the_controller_has_it wait_for controller_has "$(id 8)"
same its_max "$(ctl PUT "/structure/$(id 8)/resources/cpu/min" '{"value":70}') $(ctl PUT "/structure/$(id 8)/resources/cpu/max" '{"value":70}')" "200 200"
same its_memory "$(ctl PUT "/structure/$(id 8)/resources/mem/max" '{"value":256}') $(ctl PUT "/structure/$(id 8)/resources/mem/min" '{"value":256}')" "200 200"
same it_is_guarded "$(ctl PUT "/structure/$(id 8)/guard")" 200
check it_is_limited wait_for cpu_is "$(id 8)" "true 70 70 70 70000"
held=$(host_has)
docker_says "$(id 8)" "$TAG-late" late:1
check the_name_comes_later wait_for knows "$TAG-late"
check the_controller_hears_of_it wait_for labels_are "$TAG-late" "docker - - $TAG-late late:1 $(id 8)"
check the_id_is_forgotten knows_not "$(id 8)"
controller_forgot() { [ "$(ctl GET "/structure/$(id 8)")" = 404 ]; }
check the_controller_forgets_the_id wait_for controller_forgot
same its_guard_came_along "$(cpu_of "$TAG-late") $(quota_of 8)" "true 70 70 70 70000"
same the_accounts_are_the_same "$(host_has)" "$held"
check it_is_said grep -q "$(id 8) is called $TAG-late now" "$TMP/controller.log"

# --- two engines, one name: whoever had it first keeps it
make_nested "lxc.payload.$TAG-d1"
check another_engines wait_for knows "$TAG-d1@lxc"
stop_agent
feeding || not_ok starts_again
check the_same_after_a_restart wait_for knows "$TAG-d1@lxc"
path_of() { api GET /metrics >/dev/null; sed -n "s/^container_memory_usage_bytes{id=\"\([^\"]*\)\",name=\"$1\".*/\1/p" "$TMP/body"; }
# Once it has been sampled.
path_is() { [ "$(path_of "$1")" = "$2" ]; }
check the_first_one_has_it wait_for path_is "$TAG-d1" "/$TAG/docker/$(id 1)"
# Both anew, in the other order, while no agent looks.
stop_agent
remove_nested "docker/$(id 1)"
remove_nested "lxc.payload.$TAG-d1"
make_nested "lxc.payload.$TAG-d1"
feeding || not_ok starts_again
check the_other_alone wait_for knows "$TAG-d1@lxc"
docker_says "$(id 9)" "$TAG-d1" nginx:1.26
make_nested "docker/$(id 9)"
check its_owner_comes_back wait_for knows "$TAG-d1"
check to_its_name wait_for path_is "$TAG-d1" "/$TAG/docker/$(id 9)"
check its_labels_are_new wait_for labels_are "$TAG-d1" "docker - - $TAG-d1 nginx:1.26 $(id 9)"

# --- the same name on another host: it gets one of its own, and keeps it
second() {
	: >"$TMP/second.log"
	"$BUILD/ebb-agent" --listen 127.0.0.1:0 --pin-dir "$PIN-2" --name "$TAG-h2" --containers "$TAG/globbed/*" \
		--controller "$CONTROLLER_ADDRESS" "${OPTIONS[@]}" --name-record "$RECORD-2" 2>"$TMP/second.log" &
	SECOND=$!
	wait_for listening "$TMP/second.log"
	SECOND_ADDRESS=$(sed -n 's/.*listening on //p' "$TMP/second.log")
}
second_knows() { [ "$(curl -s -o /dev/null -w '%{http_code}' "http://$SECOND_ADDRESS/container/$1")" = 200 ]; }
host_of() { ctl GET "/structure/$1" >/dev/null; body .host; }
host_is() { [ "$(host_of "$1")" = "$2" ]; }
second
check on_another_host wait_for second_knows "$TAG.service@$TAG-h2"
check the_controller_has_both wait_for host_is "$TAG.service@$TAG-h2" "$TAG-h2"
same the_first_is_untouched "$(host_of "$TAG.service") $(api GET "/container/$TAG.service")" "$TAG 200"
check of_pods_too wait_for host_is "shop_$TAG-web-0_app@$TAG-h2" "$TAG-h2"
# The other host is away meanwhile: its name is not taken for all that.
kill -9 "$SECOND" && wait "$SECOND" 2>/dev/null
stop_agent
second
check kept_after_a_restart wait_for second_knows "$TAG.service@$TAG-h2"
same at_once "$(grep -c "is called.*now" "$TMP/second.log")" 0
same and_no_other_name "$(second_knows "$TAG.service" && echo known)" ""
finish
