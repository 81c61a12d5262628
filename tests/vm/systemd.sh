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
# For later, with what is started from here on; until then nobody is late.
systemctl service-watchdogs no
for unit in ebb-agent ebb-controller; do
	printf '[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n' | drop_in $unit.service watchdog
done
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

# What an operator sets by hand is left to him from then on.
ebb set job.service drift manual >/dev/null
systemctl set-property --runtime job.service CPUQuota=45%
is_manual() {
	ask GET "/structure/$1.service" |
		jq -e '.guard == false and (.manual.why | length > 0) and .resources.cpu.current == 45' >/dev/null
}
check set_property_makes_it_manual wait_for is_manual job
check that_is_on_record_too drifted job cpu manual 'to 45 shares'
check it_stays_as_he_left_it quota_is job 45

# --- reload, and signs of life ---

was=$(property ebb-agent WatchdogTimestampMonotonic)
check reloads systemctl reload ebb-agent ebb-controller
read_again() { [ "$(cat /run/ebb-agent.log /run/ebb-controller.log | grep -c 'SIGHUP: options and files were read again')" = 2 ]; }
check both_read_again wait_for read_again
# both_are_up N: after having been started again N times, by systemd.
both_are_up() {
	local now
	now=$(systemctl show --property=ActiveState,NRestarts ebb-agent ebb-controller)
	[[ $now = *ActiveState=active*ActiveState=active* && $now = *NRestarts=$1*NRestarts=$1* ]]
}
check both_are_up_and_have_always_been both_are_up 0
same agent_is_the_same_process "$(property ebb-agent MainPID)" "$agent_pid"
fed() { [ "$(property ebb-agent WatchdogTimestampMonotonic)" -gt "$was" ]; }
check watchdog_is_fed wait_for fed

units_said() { dmesg | sed -n 's/.*systemd\[1\]: //p' | grep -v 'Ignoring watchdog' | grep ebb; }
# Of keys that it does not know, of paths that are not there.
same systemd_has_nothing_to_say_about_the_units "$(units_said)" ""

# --- both die at once, or hang ---

host=$(uname -n)
# Looks at the limits whenever it is asked.
strayed=
limits_are_kept() {
	{ quota_is web "$limit" && quota_is job 45 && memory_is web 128; } || strayed="$(quota web) and $(quota job)"
	[ -z "$strayed" ]
}
are_back() { limits_are_kept; both_are_up "$1"; }
# In shares, the most that the controller has heard of; more than there is would be of a counter that jumped.
most=0
goes_on() {
	local usage
	limits_are_kept
	read -r books current manual usage < <(ask GET '/structure/?live' | jq -r --arg host "$host" "
		($(<tests/e2e/adds_up.jq)) as \$books |
		(.[] | select(.name == \"web.service\")) as \$web | (.[] | select(.name == \"job.service\")) as \$job |
		[\$books, \$web.resources.cpu.current, (\$job | .guard == false and .manual != null),
			(\$web.live | if .connected then .resources.cpu.usage // 0 | floor else 0 end)] | join(\" \")")
	[ "${usage:-0}" -le "$most" ] || most=$usage
	[ "$books $current $manual" = "true $limit true" ] && [ "${usage:-0}" -gt 0 ]
}
# go_on WHEN N: both are there again as if nothing had been, for the N-th time.
go_on() {
	check "are_started_again_$1" wait_for are_back "$2"
	check "go_on_$1" wait_for goes_on
	same "books_add_up_$1" "$books" true
	same "limit_is_on_record_$1" "$current" "$limit"
	same "manual_stays_manual_$1" "$manual" true
	same "no_limit_was_touched_$1" "$strayed" ""
}
# What web has used in us, by the agent and by the kernel.
counted() {
	curl -sf -m 30 http://127.0.0.1:8000/metrics |
		sed -n 's/^container_cpu_usage_seconds_total{.*name="web.service".*} //p' | jq '. * 1e6 | floor'
}
used() { sed -n 's/^usage_usec //p' "$cg/work.slice/web.service/cpu.stat"; }
count_is_there() { count=$(counted) && [ -n "$count" ]; }
pins() { find /sys/fs/bpf/ebb -type f -printf "$1\n" | sort; }

names=$(pins %f)
old=$(pins %i)
at_least=$(used)
systemctl kill --kill-whom=main --signal=KILL ebb-agent ebb-controller
go_on after_both_died 1
check counter_is_there wait_for count_is_there
at_most=$(used)
# A sample is as old as its period, and CPUs account by ticks.
check counter_has_lost_nothing [ "$count" -ge $((at_least - 100000)) ]
check counter_has_not_jumped [ "$count" -le $((at_most + 100000)) ]
same pins_are_the_same "$(pins %f)" "$names"
same and_none_is_of_the_dead "$(pins %i | grep -Fxf <(echo "$old"))" ""

# hang STOPPED STILL N: for the N-th time. Of STILL only the thread that runs the loop: the others go on, and must not be
# taken for signs of life. A signal does not wake it.
hang() {
	local stopped still dir=$cg/ebb.slice/$2.service/still
	stopped=$(property "$1" MainPID)
	still=$(property "$2" MainPID)
	mkdir "$dir" && echo threaded >"$dir/cgroup.type" && echo "$still" >"$dir/cgroup.threads"
	check "$2_has_other_threads" [ "$(find "/proc/$still/task" -mindepth 1 -maxdepth 1 | wc -l)" -gt 1 ]
	systemctl service-watchdogs yes
	kill -STOP "$stopped"
	echo 1 >"$dir/cgroup.freeze"
	check "loop_of_$2_that_stands_still_is_noticed" wait_for is_late "$2" "$3"
	check "$1_that_is_stopped_is_noticed" wait_for is_late "$1" "$3"
	systemctl service-watchdogs no
}
is_late() { limits_are_kept; [ "$(dmesg | grep -c "$1.service: Watchdog timeout")" -ge "$2" ]; }
hang ebb-agent ebb-controller 1
go_on after_both_hung 2
if [ -z "$few" ]; then
	hang ebb-controller ebb-agent 2
	go_on after_both_hung_again 3
fi
rmdir $cg/ebb.slice/*/still 2>/dev/null
[ "$most" -le $((limit * 2)) ]
same no_usage_was_more_than_can_be "$most $?" "$most 0"
said=$(units_said | wc -l)

# --- stop ---

check stops systemctl stop ebb-agent ebb-controller
for unit in ebb-agent ebb-controller; do
	same "${unit}_ends_cleanly" "$(property $unit Result) $(property $unit ExecMainStatus)" "success 0"
	check "no_cgroup_of_${unit}_is_left" [ ! -e $cg/ebb.slice/$unit.service ]
done
same no_pin_is_left "$(find /sys/fs/bpf -type f)" ""
check limits_stay limits_are_kept
same and_nothing_when_they_stop "$(units_said | tail -n +$((said + 1)))" ""
[ $failed -eq 0 ] || { dmesg | tail -n 40; tail -n 30 /run/ebb-agent.log /run/ebb-controller.log; } >&2
exit $failed
