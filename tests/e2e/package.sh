#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian packages, of what is built already: installed, upgraded, removed and purged in a copy of this
# machine's root that is seen here only (an overlay in a private mount namespace, with a loopback of its own),
# with the programs run as their units say.
# tests/e2e/package.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/check.bash

# --- outside: builds, and waits for what is inside ---

if [ "${1:-}" != inside ]; then
	BUILD=${BUILD:-build}
	skip_all() {
		skip package "$1"
		exit 0
	}
	[ "$(id -u)" -eq 0 ] || skip_all "needs root, to install packages"
	for tool in dpkg-buildpackage dh unshare setpriv ip jq; do
		command -v "$tool" >/dev/null || skip_all "no $tool here (packaging/deps.sh --packages installs what packages are built with)"
	done
	TMP=$(mktemp -d)
	CGROUP=ebb-test-package-$$
	RUNNING=
	cleanup() {
		local c
		trap '' INT TERM HUP
		# timeout passes it on to all that is inside, and makes sure.
		[ -z "$RUNNING" ] || { kill "$RUNNING" && wait "$RUNNING"; } 2>/dev/null
		for c in cpu cpuacct cpuset memory blkio unified .; do
			rmdir "/sys/fs/cgroup/$c/$CGROUP/lxc.payload.$CGROUP" "/sys/fs/cgroup/$c/$CGROUP"
		done 2>/dev/null
		rm -rf --one-file-system "$TMP"
	}
	trap cleanup EXIT
	trap 'exit 143' INT TERM HUP
	# run LIMIT COMMAND...: in the background, so that a signal is not kept waiting.
	run() {
		timeout --kill-after=5 "$@" &
		RUNNING=$!
		wait "$RUNNING"
		local status=$?
		RUNNING=
		return $status
	}

	mkdir "$TMP/space"
	# What overlayfs takes as its upper directory: a tmpfs, not the disk of a container.
	if ! run 60 unshare --mount --net --propagation private sh -ec 'mount -t tmpfs none "$1" && cd "$1" && mkdir u w m &&
			mount -t overlay -o lowerdir=/,upperdir=u,workdir=w none m' - "$TMP/space" 2>"$TMP/log"; then
		skip_all "no overlay can be mounted in a namespace of its own: $(tail -n 1 "$TMP/log")"
	fi
	# Nobody looks at their debugging symbols, or at how small they are.
	if ! DEB_BUILD_OPTIONS=noautodbgsym EBB_PREBUILT=$BUILD run 120 packaging/deb.sh "$TMP/deb" -b -d >"$TMP/log" 2>&1; then
		not_ok packages_are_built "$(tail -n 20 "$TMP/log")"
		exit 1
	fi
	ok packages_are_built
	if command -v lintian >/dev/null && [ -n "${EBB_LINTIAN:-}" ]; then
		run 300 lintian --allow-root "$TMP"/deb/*.changes >"$TMP/log" 2>&1
		same lintian_has_nothing_to_say "$(cat "$TMP/log")" ""
	else
		skip lintian_has_nothing_to_say "it takes longer than all the rest; EBB_LINTIAN=1 asks for it where it is installed"
	fi
	cp "$BUILD/filtered" "$TMP/" || skip_all "$BUILD/filtered is not built: make check-e2e builds it"
	command -v systemd-analyze >/dev/null || skip filters_system_calls "no systemd-analyze here, to read the units with"
	# v1's hierarchies, or the one of v2.
	for c in cpu cpuacct cpuset memory blkio unified .; do
		[ ! -e "/sys/fs/cgroup/$c/cgroup.procs" ] || mkdir -p "/sys/fs/cgroup/$c/$CGROUP/lxc.payload.$CGROUP"
	done
	run 200 unshare --mount --net --propagation private "$0" inside "$TMP" "$CGROUP" >"$TMP/out" 2>&1
	status=$?
	grep -v '^done$' "$TMP/out"
	grep -q '^not ok' "$TMP/out" && failed=1
	grep -qx 'done' "$TMP/out" || not_ok goes_to_its_end "status $status: $(tail -n 5 "$TMP/out")"
	exit $failed
fi

# --- inside ---

TMP=$2 CGROUP=$3 root=$TMP/space/m
declare -A PIDS=()
end() {
	local pid
	for pid in "${PIDS[@]}"; do kill "$pid"; done
	for pid in "${PIDS[@]}"; do wait "$pid"; done
	PIDS=()
} 2>/dev/null
trap end EXIT
trap 'exit 143' TERM

set -e
mount -t tmpfs none "$TMP/space"
cd "$TMP/space"
mkdir u w m
mount -t overlay -o lowerdir=/,upperdir=u,workdir=w none m
for d in proc sys dev; do mount --rbind "/$d" "m/$d"; done
# Those of an agent that runs on this machine stay out of this.
mount -t bpf bpf m/sys/fs/bpf
for d in run tmp; do
	mount -t tmpfs none "m/$d"
	chmod 1777 "m/$d"
done
ip link set lo up
printf '#!/bin/sh\nexit 101\n' >m/usr/sbin/policy-rc.d
chmod 755 m/usr/sbin/policy-rc.d
rm -rf m/etc/ebb m/var/lib/ebb m/var/lib/ebb-controller
mkdir m/tmp/deb
cp "$TMP"/deb/*.deb m/tmp/deb/
cp "$TMP/filtered" m/tmp/
cd m
set +e

# inside COMMAND...: nothing of this environment, and never for long.
inside() {
	timeout --foreground --kill-after=5 100 chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive "$@"
}
# dpkg leaves its answer in $TMP/dpkg.
packages() { inside dpkg "$@" >"$TMP/dpkg" 2>&1; }
install_all() { inside sh -c 'dpkg --force-unsafe-io --install /tmp/deb/*.deb' >"$TMP/dpkg" 2>&1; }
# unit SERVICE KEY [DEFAULT]: as systemd reads it, the last value.
unit() {
	local value
	value=$(sed -n "s/^$2=//p" "$root/lib/systemd/system/$1.service" | tail -n 1)
	echo "${value:-${3:-}}"
}
# calls NAME...: what systemd means by them, a line each.
calls() {
	local name
	for name; do
		case $name in
		@*)
			# shellcheck disable=SC2046 # words
			calls $(systemd-analyze syscall-filter "$name" | sed '1d; s/#.*//')
			;;
		*) echo "$name" ;;
		esac
	done
}
# may_call SERVICE: the system calls that its unit leaves it.
may_call() {
	local line
	calls @default >"$TMP/calls"
	# shellcheck disable=SC2086 # words
	while read -r line; do
		case $line in
		'~'*)
			calls ${line#'~'} >"$TMP/not"
			grep -vxFf "$TMP/not" "$TMP/calls" >"$TMP/rest"
			mv "$TMP/rest" "$TMP/calls"
			;;
		*) calls $line >>"$TMP/calls" ;;
		esac
	done < <(sed -n 's/^SystemCallFilter=//p' "$root/lib/systemd/system/$1.service")
	sort -u "$TMP/calls"
}
# start SERVICE: its program, with the unit's command line, user, group, capabilities, system
# calls, umask, files and directories.
start() {
	local service=$1 user group state run capabilities assignment words=() environment=()
	user=$(unit "$service" User root)
	group=$(unit "$service" Group root)
	state=$(unit "$service" StateDirectory)
	run=$(unit "$service" RuntimeDirectory)
	capabilities=$(unit "$service" CapabilityBoundingSet | tr ' ' '\n' | sed -n 's/^CAP_/,+/p' | tr -d '\n' | tr '[:upper:]' '[:lower:]')
	read -ra words < <(unit "$service" ExecStart)
	while read -r assignment; do environment+=("$assignment"); done < <(sed -n 's/^Environment=//p' "$root/lib/systemd/system/$service.service")
	# A sanitizer makes calls of its own.
	if command -v systemd-analyze >/dev/null && ! grep -q '__[at]san_init' "$root${words[0]}"; then
		[ -e "$root/tmp/$service" ] || may_call "$service" >"$root/tmp/$service"
		words=(/tmp/filtered "/tmp/$service" "${words[@]}")
	fi
	inside install -d -o "$user" -g "$group" -m "$(unit "$service" StateDirectoryMode 0755)" "/var/lib/$state"
	environment+=("STATE_DIRECTORY=/var/lib/$state")
	if [ -n "$run" ]; then
		inside install -d -o "$user" -g "$group" "/run/$run"
		environment+=("RUNTIME_DIRECTORY=/run/$run")
	fi
	(
		umask "$(unit "$service" UMask 0022)"
		# As far as this test's own go.
		ulimit -n "$(unit "$service" LimitNOFILE 1024)" 2>/dev/null
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin ASAN_OPTIONS=detect_leaks=0 "${environment[@]}" \
			setpriv --reuid "$user" --regid "$group" --clear-groups --inh-caps=-all \
			--bounding-set="-all$capabilities" --no-new-privs "${words[@]}"
	) >"$TMP/$service.log" 2>&1 &
	PIDS[$service]=$!
}
logged() { grep -q "$2" "$TMP/$1.log"; }
# starts SERVICE TEXT: its log has TEXT.
starts() {
	if wait_for logged "$1" "$2"; then
		ok "$1_starts_as_its_unit_says"
	else
		not_ok "$1_starts_as_its_unit_says" "$(tail -n 5 "$TMP/$1.log")"
	fi
}
# as_member COMMAND..., as_stranger COMMAND...: somebody without any privilege, in group ebb or not.
as_member() { inside setpriv --reuid 65534 --regid 65534 --groups ebb --inh-caps=-all "$@"; }
as_stranger() { inside setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$@"; }
is_seen() { as_member ebb ps 2>"$TMP/err" | grep -q "$CGROUP"; }
is_guarded() { [ "$(as_member ebb ps --json 2>"$TMP/err" | jq -r --arg n "$CGROUP" '.[] | select(.name == $n) | .guard')" = true ]; }
agent_s() { curl -sS -m 20 "http://127.0.0.1:8000/$1" | jq -rc "$2"; }
# order CPU: as the controller gives it.
order() {
	printf 'header = "Authorization: Bearer %s"\n' "$token" | curl -sS -m 20 -K - -o "$TMP/answer" -w '%{http_code}' -X PUT \
		-d "{\"cpu\":{\"cpu_allowance_limit\":$1}}" "http://127.0.0.1:8000/container/$CGROUP"
}

if ! install_all; then
	if grep -q 'dependency problems' "$TMP/dpkg"; then
		skip installed "$(grep -m 1 'depends on' "$TMP/dpkg" || tail -n 1 "$TMP/dpkg")"
	else
		not_ok installed "$(tail -n 5 "$TMP/dpkg")"
	fi
	echo "done"
	exit 0
fi
ok installed
same token_is_root_s_and_the_group_s "$(inside stat -c '%a %U:%G' /etc/ebb/token)" "640 root:ebb"
check token_is_64_digits grep -qx '[0-9a-f]\{64\}' "$root/etc/ebb/token"
token=$(<"$root/etc/ebb/token")
same nothing_else_is_beside_it "$(cd etc/ebb && echo *)" "ebb.conf token"


# --- they run, and find each other ---

start ebb-controller
starts ebb-controller 'listens on'
start ebb-agent
starts ebb-agent 'listening on'
same controller_has_no_capability "$(sed -n 's/^CapPrm:\s*//p' "/proc/${PIDS[ebb-controller]}/status")" 0000000000000000
# Some kernels want it for each use of a map.
same agent_has_none_left "$(agent_s heartbeat '.privileges.capabilities - ["CAP_BPF"]')" "[]"
check a_member_of_the_group_sees_the_container wait_for is_seen
as_member ebb guard "$CGROUP" --cpu 20..100 >"$TMP/guard" 2>&1
same a_member_of_the_group_guards_it "$? $(wc -l <"$TMP/guard")" "0 1"
check it_is_guarded wait_for is_guarded
as_stranger ebb unguard "$CGROUP" >"$TMP/refused" 2>&1
same somebody_else_may_not $? 1
check and_is_told_why_in_one_line [ "$(wc -l <"$TMP/refused") $(grep -c '/etc/ebb/token, which you cannot read' "$TMP/refused")" = "1 1" ]
same agent_sets_a_limit "$(order 50)" 201
check it_is_set_in_the_cgroup grep -qs '^50000\b' /sys/fs/cgroup/{cpu/,}"$CGROUP/lxc.payload.$CGROUP"/cpu.{cfs_quota_us,max}
check no_more_warning_than_one_a_matter [ -z "$(cut -d' ' -f2- "$TMP"/ebb-*.log | grep '^\(warning\|error\)' | sort | uniq -d)" ]

# The same program with all that this test may do: what it samples with.
chroot "$root" env -i PATH=/usr/sbin:/usr/bin ASAN_OPTIONS=detect_leaks=0 ebb-agent --config /dev/null \
	--listen 127.0.0.1:0 --pin-dir /sys/fs/bpf/all --name-record none >"$TMP/all.log" 2>&1 &
PIDS[all]=$!
wait_for grep -q 'listening on' "$TMP/all.log"
sampler_of() { sed -n 's/.*, sampler \([a-z]*\).*/\1/p' "$1"; }
same agent_samples_as_with_all_privileges "$(sampler_of "$TMP/ebb-agent.log")" "$(sampler_of "$TMP/all.log")"
end
same clean_stop_leaves_no_pin "$(ls sys/fs/bpf | grep -v '\.debug$')" ""

# --- upgrade ---

echo '# mine' >>"$root/etc/ebb/ebb.conf"
install_all
same upgrade_succeeds $? 0
same upgrade_keeps_the_token "$(<"$root/etc/ebb/token")" "$token"
same and_who_may_read_it "$(inside stat -c '%a %U:%G' /etc/ebb/token)" "640 root:ebb"
same upgrade_keeps_the_configuration "$(tail -n 1 "$root/etc/ebb/ebb.conf")" "# mine"
start ebb-controller
start ebb-agent
check the_container_is_there_again wait_for is_seen
check and_guarded_as_before is_guarded
end
check the_token_is_in_no_log [ "$(cat "$TMP"/*.log "$TMP/dpkg" "$TMP/err" "$TMP/refused" | grep -c "$token")" = 0 ]

# --- removal ---

packages --remove ebb-agent ebb-controller ebb
same removal_succeeds $? 0
check removal_leaves_token_configuration_and_state [ -e etc/ebb/token -a -e etc/ebb/ebb.conf -a -e var/lib/ebb-controller/state.db ]
check removal_takes_the_programs [ -z "$(ls usr/bin/ebb usr/sbin/ebb-* lib/systemd/system/ebb* 2>/dev/null)" ]
packages --purge ebb-agent ebb-controller ebb
same purge_succeeds $? 0
same purge_leaves_nothing "$(ls -d etc/ebb var/lib/ebb* run/ebb usr/share/doc/ebb* usr/share/man/man?/ebb* \
	usr/share/bash-completion/completions/ebb* usr/lib/sysusers.d/ebb* 2>/dev/null | xargs)" ""
echo "done"
