#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the machine of tests/vm/run --init systemd: the units as they are installed, under the systemd of this host; and
# what systemd itself writes to the limits of services that Ebb guards.
#   tests/vm/systemd.sh TAR [few]     TAR: what `make install` installs; few: what make check has the time for
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/check.bash
few=${2:-}

# --- as on a first installation ---

tar -x -C / --keep-directory-symlink -f "$1" || exit 1
rm -rf /var/lib/ebb /var/lib/ebb-controller /etc/ebb/token
check sysusers_makes_the_user systemd-sysusers /usr/lib/sysusers.d/ebb.conf
check a_token_is_made sh packaging/debian/ebb.postinst configure
sed -i 's|^#containers = .*|containers = work.slice/*.service|' /etc/ebb/ebb.conf
# drop_in UNIT NAME: its text on standard input.
drop_in() {
	mkdir -p "/etc/systemd/system/$1.d"
	cat >"/etc/systemd/system/$1.d/$2.conf"
}
# There is no journal here.
for unit in ebb-agent ebb-controller; do
	printf '[Service]\nStandardError=append:/run/%s.log\n' $unit | drop_in $unit.service log
done
# service NAME: one that uses all the CPU it gets.
service() {
	printf '[Service]\nExecStart=/usr/bin/md5sum /dev/zero\nSlice=work.slice\nCPUQuota=20%%\nMemoryMax=256M\nStandardOutput=null\n' \
		>"/etc/systemd/system/$1.service"
}

# property UNIT NAME
property() { systemctl show --property="$2" --value "$1"; }
status_says() { property "$1" StatusText | grep -q "$2"; }
# in_file WANT FILE: its first line.
in_file() { [ "$(head -n 1 "$2")" = "$1" ]; }
cg=/sys/fs/cgroup
quota() { head -n 1 "$cg/work.slice/$1.service/cpu.max"; }
quota_is() { [ "$(quota "$1")" = "$(($2 * 1000)) 100000" ]; }
quota_at_least() { [ "$(quota "$1" | cut -d' ' -f1)" -ge "$(($2 * 1000))" ]; }
memory_is() { [ "$(<"$cg/work.slice/$1.service/memory.max")" = $(($2 << 20)) ]; }
token=$(</etc/ebb/token)
# ask METHOD PATH [BODY]: of the controller.
ask() {
	printf 'header = "Authorization: Bearer %s"\n' "$token" |
		curl -sf -m 30 -K - -X "$1" ${3:+--data-binary "$3"} "http://127.0.0.1:5000$2"
}
current() { ask GET "/structure/$1.service" | jq ".resources.$2.current"; }
current_is() { [ "$(current "$1" "$2")" = "$3" ]; }
rests() { quota_is "$1" "$(current "$1" cpu)"; }
# drifted NAME RESOURCE OUTCOME WHO: that decision is on record.
drifted() {
	ask GET "/decision/?structure=$1.service&limit=50" >/run/decisions &&
		jq -e "any(.origin == \"drift\" and .resource == \"$2\" and .outcome == \"$3\" and
			(.reason | test(\"$4\")))" /run/decisions >/dev/null
}

# --- the units ---

systemctl daemon-reload
check controller_starts systemctl start ebb-controller
check agent_starts systemctl start ebb-agent
for unit in ebb-agent ebb-controller; do
	same "${unit}_is_active" "$(systemctl is-active $unit)" active
	same "${unit}_is_in_its_slice" "$(property $unit ControlGroup)" "/ebb.slice/$unit.service"
done
check slice_has_twice_the_share in_file 200 $cg/ebb.slice/cpu.weight
check slice_keeps_its_memory in_file $((64 << 20)) $cg/ebb.slice/memory.min
check agent_keeps_its_memory in_file $((64 << 20)) $cg/ebb.slice/ebb-agent.service/memory.min
agent_pid=$(property ebb-agent MainPID)
check agent_is_killed_late in_file -900 "/proc/$agent_pid/oom_score_adj"
check controller_is_killed_late in_file -500 "/proc/$(property ebb-controller MainPID)/oom_score_adj"
check agent_says_how_it_is status_says ebb-agent 'sampler'
check controller_says_how_it_is status_says ebb-controller 'Leads'

# What the same program samples with when nothing is forbidden to it.
timeout 60 ebb-agent --config /dev/null --listen 127.0.0.1:0 --pin-dir /sys/fs/bpf/all --name-record none 2>/run/all.log &
wait_for grep -q 'listening on' /run/all.log
kill $! && wait $!
sampler_of() { sed -n 's/.*, sampler \([a-z]*\).*/\1/p' "$1"; }
same agent_samples_as_with_all_privileges "$(sampler_of /run/ebb-agent.log)" "$(sampler_of /run/all.log)"
warnings() { cut -d' ' -f2- "$1" | grep -E '^(warning|error)' | grep -v '^warning controller' | sort -u; }
same agent_warns_of_no_more_than_with_all_privileges "$(warnings /run/ebb-agent.log)" "$(warnings /run/all.log)"
[ "$(sampler_of /run/all.log)" = files ] || check agent_has_pins [ -e /sys/fs/bpf/ebb/samples ]

# --- services ---

service web
systemctl daemon-reload
check service_starts systemctl start web
check transient_service_starts systemd-run --quiet --unit=job --slice=work.slice -p CPUQuota=20% -p MemoryMax=256M -p StandardOutput=null \
	md5sum /dev/zero
is_known() { ask GET "/structure/$1.service" >/run/structure; }
check web_is_found wait_for is_known web
check web_is_guarded ebb guard web.service --cpu 60..100 --mem 128M..256M
check job_is_found wait_for is_known job
check job_is_guarded ebb guard job.service --cpu 20..100 --mem 128M..256M
check web_gets_its_min wait_for quota_at_least web 60
check job_gets_what_it_wants wait_for quota_at_least job 60
for name in web job; do check "${name}_gives_back_memory" wait_for memory_is $name 128; done
# From here on limits stay where they are: it is all about who writes them.
ask PUT /service/guardian/ACTIVE '{"value":false}' >/dev/null
ebb set job.service drift accept >/dev/null

# --- systemd writes limits, too ---

# What was decided before may still be on its way: with one value only it does not matter.
limit=60
check web_has_one_limit_only ebb set web.service cpu max $limit
limits_rest() { current_is web cpu $limit && quota_is web $limit && rests job; }
check limits_rest wait_for limits_rest
# All units are read again, and their own values written.
systemctl daemon-reload
check after_reload_cpu_is_on_record wait_for drifted web cpu reasserted 'to 20 shares'
check after_reload_memory_is_on_record wait_for drifted web mem reasserted 'to 256 MiB'
check after_reload_cpu_is_put_back wait_for quota_is web "$limit"
check after_reload_memory_is_put_back wait_for memory_is web 128
check after_reload_cpu_is_accepted wait_for current_is job cpu 20
check after_reload_memory_is_accepted wait_for current_is job mem 256
check that_is_on_record wait_for drifted job cpu accepted 'to 20 shares'
check accepted_stays quota_is job 20

if [ -z "$few" ]; then
	systemctl set-property --runtime web.service CPUQuota=30%
	check set_property_is_on_record wait_for drifted web cpu reasserted 'to 30 shares'
	check set_property_is_put_back wait_for quota_is web "$limit"
	systemctl set-property --runtime job.service CPUQuota=35% MemoryMax=200M
	check set_property_is_accepted wait_for current_is job cpu 35
	check set_property_of_memory_is_accepted wait_for current_is job mem 200
	check and_stays quota_is job 35

	# Who did it, with the drop-in that lets the agent see it.

	cp /usr/share/doc/ebb/examples/ebb-agent-changes.conf /etc/systemd/system/ebb-agent.service.d/
	systemctl daemon-reload
	times_fed() { grep -c 'feeding controller' /run/ebb-agent.log; }
	before=$(times_fed)
	check restarts_with_the_drop_in systemctl restart ebb-agent
	agent_pid=$(property ebb-agent MainPID)
	if tail -n 8 /run/ebb-agent.log | grep -q 'this kernel does not tell'; then
		skip systemd_is_named "this kernel does not tell"
	else
		is_fed() { [ "$(times_fed)" -gt "$before" ]; }
		check is_fed_again wait_for is_fed
		check rests_again wait_for rests web
		systemctl set-property --runtime web.service CPUQuota=40%
		check systemd_is_named wait_for drifted web cpu reasserted 'to 40 shares by systemd .process 1'
		check and_what_it_did_is_put_back wait_for quota_is web "$limit"
	fi
	same drop_in_leaves_the_agent_no_capability "$(curl -sf -m 30 http://127.0.0.1:8000/heartbeat | jq -c .privileges.capabilities)" "[]"
fi

# --- reload, watchdog, stop ---

was=$(property ebb-agent WatchdogTimestampMonotonic)
check reloads systemctl reload ebb-agent ebb-controller
read_again() { [ "$(cat /run/ebb-agent.log /run/ebb-controller.log | grep -c 'SIGHUP: options and files were read again')" = 2 ]; }
check both_read_again wait_for read_again
for unit in ebb-agent ebb-controller; do
	same "${unit}_is_active_after_it" "$(systemctl is-active $unit)" active
	same "${unit}_has_never_been_restarted" "$(property $unit NRestarts)" 0
done
same agent_is_the_same_process "$(property ebb-agent MainPID)" "$agent_pid"
fed() { [ "$(property ebb-agent WatchdogTimestampMonotonic)" -gt "$was" ]; }
check watchdog_is_fed wait_for fed

check stops systemctl stop ebb-agent ebb-controller
for unit in ebb-agent ebb-controller; do
	same "${unit}_ends_cleanly" "$(property $unit Result) $(property $unit ExecMainStatus)" "success 0"
	check "no_cgroup_of_${unit}_is_left" [ ! -e $cg/ebb.slice/$unit.service ]
done
same no_pin_is_left "$(find /sys/fs/bpf -type f)" ""
check limits_stay quota_is web "$limit"
# Of keys that it does not know, of paths that are not there.
same systemd_has_nothing_to_say_about_the_units "$(dmesg | sed -n 's/.*systemd\[1\]: //p' | grep ebb)" ""
[ $failed -eq 0 ] || tail -n 30 /run/ebb-agent.log /run/ebb-controller.log >&2
exit $failed
