#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real containers of six engines: each is seen, guarded and loaded, and its limits move.
. "$(dirname "$0")/room.bash"
enter_mounts engines
. "$(dirname "$0")/loop.bash"
trap room_cleanup EXIT
. "$(dirname "$0")/engines.bash"
echo "$TMP" >>"$EBB_ROOM/files"
echo "$PIN" >>"$EBB_ROOM/files"
# What crun is told below: a place that no engine chooses by itself.
GLOB='chosen/*'
need_cgroups engines
if ! open_room || ! make_rootfs "$ROOM/rootfs"; then
	not_ok the_room_opens "$(cat "$ROOM/log")"
	finish
fi

# --- the containers
declare -A NAME=() DIR=() # by engine: what Ebb calls it, its cgroup below $TAG
engines=()
cores=$(nproc)
[ "$cores" -gt 2 ] && cores=2
has() { [ -n "${NAME[$1]-}" ]; }
# begin ENGINE FUNCTION ARG...
begin() {
	local engine=$1
	shift
	if "$@" >"$ROOM/begin.$engine" 2>&1; then
		engines+=("$engine")
	else
		not_ok "${engine}_starts" "$(tail -n 5 "$ROOM/begin.$engine")"
	fi
}
start_loop
echo "$AGENT $CONTROLLER" | tr ' ' '\n' >>"$EBB_ROOM/pids"

# As containerd does without systemd: a bare id, below a parent of any name.
id=$(printf '%s' "$TAG" | sha256sum | cut -c 1-64)
if need_engine runc; then
	NAME[runc]=$id DIR[runc]=pods/$id
	begin runc start_runc "$TAG-runc" "/$TAG/pods/$id"
fi
if need_engine crun; then
	NAME[crun]=$TAG-crun DIR[crun]=chosen/$TAG-crun
	begin crun start_crun "$TAG-crun" "/$TAG/chosen/$TAG-crun"
fi
if need_engine lxc; then
	NAME[lxc]=$TAG-lxc DIR[lxc]=lxc.payload.$TAG-lxc
	begin lxc start_lxc "$TAG-lxc"
fi
if need_engine nspawn; then
	NAME[nspawn]=$TAG-nspawn DIR[nspawn]=$(nspawn_scope "$TAG-nspawn")
	begin nspawn start_nspawn "$TAG-nspawn"
fi
if need_engine podman; then
	podman() { prepare_podman && start_podman "$TAG-podman" "/$TAG/batch" --memory 128m --cidfile "$ROOM/podman.id"; }
	begin podman podman
	# Its cgroup has only its id.
	NAME[podman]=$TAG-podman DIR[podman]=batch/libpod-$(cat "$ROOM/podman.id")
fi
if need_engine lxd; then
	lxd() { prepare_lxd && start_lxd "$TAG-lxd" -c limits.memory=128MiB; }
	begin lxd lxd
	NAME[lxd]=$TAG-lxd DIR[lxd]=lxc.payload.$TAG-lxd
fi
[ ${#engines[@]} -gt 0 ] || finish

# --- what Ebb sees
began=("${engines[@]}")
engines=()
for engine in "${began[@]}"; do
	# The rest is waited for in vain.
	if wait_for has_structure "${NAME[$engine]}"; then
		ok "${engine}_appears"
		engines+=("$engine")
	else
		not_ok "${engine}_appears" "no ${NAME[$engine]} but $(ask GET /structure/ | jq -c 'map(.name)')"
	fi
done
[ "$failed" -eq 0 ] || finish
# cg() of agent.bash takes what is below $TAG: so do quota(), memory() and the rest.
for engine in "${engines[@]}"; do
	check "${engine}_is_guarded" guard "${NAME[$engine]}" 10 $((cores * 25)) 64 256
done
is_low() { quota_at_most "${DIR[$1]}" 16; }
is_high() { quota_at_least "${DIR[$1]}" 24; }
for engine in "${engines[@]}"; do
	check "${engine}_falls_to_its_min" wait_long is_low "$engine"
done
wave() { # ENGINE...: loads some of them
	local engine
	for engine; do : >"$ROOM/ctl/$TAG-$engine"; done
	for engine; do check "${engine}_rises_with_its_load" wait_long is_high "$engine"; done
	for engine; do rm "$ROOM/ctl/$TAG-$engine"; done
}
# Three of them at their max are what two CPUs have.
wave "${engines[@]:0:3}"
wave "${engines[@]:3}"
for engine in "${engines[@]}"; do
	check "${engine}_falls_when_idle" wait_long is_low "$engine"
	check "${engine}_on_record_as_in_force" wait_for in_force "${NAME[$engine]}" "${DIR[$engine]}"
done

# --- memory, in the order that the kernel wants where swap is counted too
# swap ENGINE: MiB of swap beside the memory; nothing where it is not counted.
swap() {
	local d
	d=$(cg memory "${DIR[$1]}")
	[ ! -e "$d/memory.memsw.limit_in_bytes" ] ||
		echo $((($(<"$d/memory.memsw.limit_in_bytes") - $(<"$d/memory.limit_in_bytes")) >> 20))
}
# LXD sets both limits equal, podman the second to twice the first.
declare -A SWAP=([lxd]=0 [podman]=128)
moves=()
for engine in "${!SWAP[@]}"; do has "$engine" && moves+=("$engine"); done
swap_is_kept() { # ENGINE WHEN
	[ -z "$(swap "$1")" ] || same "$1_swap_is_kept_$2" "$(swap "$1")" "${SWAP[$1]}"
}
set_min_memory() { # MIB
	for engine in "${moves[@]}"; do
		ask PUT "/structure/${NAME[$engine]}/resources/mem/min" "{\"value\":$1}" >/dev/null
	done
}
for engine in "${moves[@]}"; do
	check "${engine}_memory_falls_to_its_min" wait_long memory_at_most "${DIR[$engine]}" 80
	swap_is_kept "$engine" falling
done
set_min_memory 192
for engine in "${moves[@]}"; do
	check "${engine}_memory_rises_to_a_new_min" wait_long memory_at_least "${DIR[$engine]}" 192
	swap_is_kept "$engine" rising
done
set_min_memory 64
for engine in "${moves[@]}"; do
	check "${engine}_memory_falls_again" wait_long memory_at_most "${DIR[$engine]}" 80
	swap_is_kept "$engine" falling_again
done

# --- containers in containers, and engines with one name
# The crun one is in a place of the operator's: what an engine makes there is his to choose.
for engine in "${engines[@]}"; do
	nested=inner/docker/$id
	[ "$engine" = crun ] && nested=inner/more
	for mount in $(cgroup_mounts); do
		[ ! -d "$mount/$TAG/${DIR[$engine]}" ] || mkdir -p "$mount/$TAG/${DIR[$engine]}/$nested"
	done
done
has lxc && start_lxc "$TAG-twin" >"$ROOM/begin.twin" 2>&1 &&
	NAME[twin_lxc]=$TAG-twin DIR[twin_lxc]=lxc.payload.$TAG-twin
has nspawn && start_nspawn "$TAG-twin" >"$ROOM/begin.twin" 2>&1 &&
	NAME[twin_nspawn]=$TAG-twin DIR[twin_nspawn]=$(nspawn_scope "$TAG-twin")
# By the same library, which numbers the cgroup of the second one.
has twin_lxc && has lxd && start_lxd "$TAG-twin" >"$ROOM/begin.twin_lxd" 2>&1 &&
	NAME[twin_lxd]=$TAG-twin DIR[twin_lxd]=lxc.payload.$TAG-twin-1
names() { ask GET /structure/ | jq -r --arg host "$HOST" '.[] | select(.host == $host) | .name' | sort; }
twins() { names | grep "^$TAG-twin"; }
twin_engines=()
for engine in twin_lxc twin_nspawn twin_lxd; do has "$engine" && twin_engines+=("$engine"); done
all_twins() { [ "$(twins | wc -l)" = "${#twin_engines[@]}" ]; }
twins_at() { [ "$(for engine in "${twin_engines[@]}"; do quota "${DIR[$engine]}"; done | sort -n | paste -s -d ' ')" = "$1" ]; }
if [ "${#twin_engines[@]}" -gt 1 ]; then
	check each_of_one_name_is_another wait_for all_twins
	check one_keeps_the_name grep -qx "$TAG-twin" <(twins)
	same the_others_say_whose_they_are "$(twins | grep -cxE "$TAG-twin@(lxc|lxd|nspawn)")" $((${#twin_engines[@]} - 1))
	min=20
	mins=
	for name in $(twins); do
		check "guard_${name#"$TAG"-}" guard "$name" $min $min 64 256
		mins+="${mins:+ }$min"
		min=$((min + 10))
	done
	check those_of_one_name_are_guarded_each wait_long twins_at "$mins"
fi

# What the agent ever took for a container, of all that the engines have made.
taken() { sed -n "s|.* container .* ([^ ]*, $TAG/\(.*\))$|\1|p" "$AGENT_LOG" | sort -u; }
same nothing_else_is_a_container "$(taken)" "$(printf '%s\n' "${DIR[@]}" | sort)"

"$BUILD/ebb" --controller "http://$CONTROLLER_LISTEN" ps --json >"$TMP/ps"
shown() { jq -r --arg host "$HOST" '.[] | select(.host == $host) | .name' "$TMP/ps" | sort | paste -s -d ' '; }
same ebb_shows_them_all "$(shown)" "$(names | grep -vx "$HOST" | paste -s -d ' ')"

# --- and their end
end() { # ENGINE FUNCTION ARG...
	local engine=$1
	shift
	"$@" >"$ROOM/end.$engine" 2>&1 || not_ok "${engine}_ends" "$(cat "$ROOM/end.$engine")"
}
for engine in "${engines[@]}"; do end "$engine" "remove_$engine" "$TAG-$engine"; done
! has twin_lxc || end twin_lxc remove_lxc "$TAG-twin"
! has twin_nspawn || end twin_nspawn remove_nspawn "$TAG-twin"
! has twin_lxd || end twin_lxd remove_lxd "$TAG-twin"
for engine in "${engines[@]}"; do
	check "${engine}_has_gone" wait_for knows_not "${NAME[$engine]}"
	check "${engine}_left_no_cgroup" test ! -d "$(cg cpu "${DIR[$engine]}")"
done
all_free() { ask GET "/structure/$HOST" | jq -e '.resources | .cpu.free == .cpu.max and .mem.free == .mem.max' >/dev/null; }
check what_they_had_is_free_again wait_for all_free

stop_agent TERM
same agent_ends_cleanly $? 0
kill_controller TERM
same controller_ends_cleanly $? 0
close_room
same nothing_is_left "$(for mount in $(cgroup_mounts); do find "$mount" -name "*$TAG*"; done)" ""
finish
