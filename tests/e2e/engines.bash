# SPDX-License-Identifier: Apache-2.0
# For shell tests with real container engines, in the room of room.bash: start_ENGINE NAME [OPTION...]
# starts a container that runs /bin/work NAME, remove_ENGINE NAME ends it and takes it out of the
# engine's books. What they print is for people, when something fails.

# oci_bundle NAME CGROUPS_PATH
oci_bundle() {
	local dir=$ROOM/oci/$1
	mkdir -p "$dir" && cp -a "$ROOM/rootfs" "$dir/rootfs" && (cd "$dir" && room runc spec --bundle "$dir") &&
		jq --arg name "$1" --arg path "$2" --arg ctl "$ROOM/ctl" '
			.process.terminal = false | .process.args = ["/bin/work", $name] | .hostname = "work" |
			.linux.cgroupsPath = $path | .mounts += [{"destination": "/ctl", "type": "bind",
			"source": $ctl, "options": ["bind", "ro"]}]' "$dir/config.json" >"$dir/new" &&
		mv "$dir/new" "$dir/config.json"
}
start_runc() { # NAME CGROUPS_PATH
	oci_bundle "$1" "$2" && room runc run --bundle "$ROOM/oci/$1" --detach "$1" </dev/null
}
remove_runc() { room runc delete --force "$1"; }

# It does not take hybrid hosts for what they are: out of its sight with cgroup2.
room_crun() {
	# shellcheck disable=SC2016 # it is for the shell in there
	room unshare --mount --propagation private sh -c '
		grep -q " /sys/fs/cgroup/unified cgroup2 " /proc/mounts && umount /sys/fs/cgroup/unified
		exec crun "$@"' crun "$@"
}
start_crun() { # NAME CGROUPS_PATH
	oci_bundle "$1" "$2" && room_crun run --bundle "$ROOM/oci/$1" --detach "$1" </dev/null
}
remove_crun() { room_crun delete --force "$1"; }

prepare_podman() {
	# In a container the limits on open files and processes may be below its defaults.
	cat >/etc/containers/containers.conf <<-END
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		runtime = "runc"
	END
	printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' \
		>/etc/containers/storage.conf
	tar -C "$ROOM/rootfs" -cf "$ROOM/rootfs.tar" . && room podman import "$ROOM/rootfs.tar" work
}
start_podman() { # NAME CGROUP_PARENT [OPTION...]
	local name=$1 parent=$2
	shift 2
	room podman run --detach --name "$name" --network none --cgroup-parent "$parent" \
		--volume "$ROOM/ctl:/ctl:ro" "$@" work /bin/work "$name" </dev/null
}
remove_podman() { room podman rm --force --time 0 "$1"; }

start_lxc() { # NAME [LINE...]
	local name=$1 dir=/var/lib/lxc/$1
	shift
	mkdir -p "$dir" && cp -a "$ROOM/rootfs" "$dir/rootfs" || return 1
	cat >"$dir/config" <<-END
		lxc.uts.name = work
		lxc.rootfs.path = dir:$dir/rootfs
		lxc.apparmor.profile = unconfined
		lxc.net.0.type = empty
		lxc.mount.auto = proc:rw sys:ro
		lxc.mount.entry = $ROOM/ctl ctl none bind,ro 0 0
		lxc.init.cmd = /bin/work $name
	END
	printf '%s\n' "$@" >>"$dir/config"
	room lxc-start --name "$name" --daemon --logfile "$ROOM/lxc.log" --logpriority INFO </dev/null
}
remove_lxc() { room lxc-stop --kill --name "$1" && room lxc-destroy --name "$1"; }

prepare_lxd() {
	mkdir -p /var/lib/lxd "$ROOM/image"
	room setsid lxd --group root --logfile "$ROOM/lxd.log" </dev/null >"$ROOM/lxd.out" 2>&1 &
	disown
	room lxd waitready --timeout 120 || return 1
	room lxd init --preseed <<-'END' || return 1
		storage_pools: [{name: pool, driver: dir}]
		profiles: [{name: default, devices: {root: {path: /, pool: pool, type: disk}}}]
	END
	printf 'architecture: x86_64\ncreation_date: 1700000000\nproperties: {os: work}\n' >"$ROOM/image/metadata.yaml"
	tar -C "$ROOM/image" -czf "$ROOM/metadata.tar.gz" metadata.yaml &&
		tar -C "$ROOM/rootfs" -czf "$ROOM/rootfs.tar.gz" . &&
		room lxc image import "$ROOM/metadata.tar.gz" "$ROOM/rootfs.tar.gz" --alias work
}
start_lxd() { # NAME [OPTION...]
	local name=$1
	shift
	room lxc init work "$name" -c security.privileged=true "$@" -c "raw.lxc=lxc.init.cmd=/bin/work $name
lxc.apparmor.profile=unconfined" </dev/null &&
		room lxc config device add "$name" ctl disk "source=$ROOM/ctl" path=/ctl &&
		room lxc start "$name" </dev/null
}
remove_lxd() { room lxc delete --force "$1" </dev/null; }

# Where systemd is the first process it makes the scope, and takes it away.
nspawn_scope() { echo "machine.slice/machine-${1//-/\\x2d}.scope"; }
start_nspawn() { # NAME
	local name=$1 scope mount
	scope=$(nspawn_scope "$1")
	cp -a "$ROOM/rootfs" "$ROOM/nspawn-$name" && room_cgroup "$scope" || return 1
	# shellcheck disable=SC2016 # it is for the shell in there
	for mount in $(cgroup_mounts); do echo "$mount/$TAG/$scope"; done >"$ROOM/scopes-$name"
	# shellcheck disable=SC2016 # it is for the shell in there
	room "$BASH" -c 'while read -r dir; do echo 0 >"$dir/cgroup.procs" || exit 1; done <"$1"
		exec setsid systemd-nspawn --quiet --register=no --keep-unit --machine "$2" --directory "$3" \
		--bind-ro "$4:/ctl" --as-pid2 /bin/work "$2"' nspawn "$ROOM/scopes-$name" "$name" "$ROOM/nspawn-$name" \
		"$ROOM/ctl" </dev/null >>"$ROOM/nspawn.log" 2>&1 &
	disown
}
remove_nspawn() {
	local dir
	while read -r dir; do wait_for remove_cgroups_at "$dir" || return 1; done <"$ROOM/scopes-$1"
}
