#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the agent writes to OpenTSDB, read back from a strict double and from VictoriaMetrics, against
# what the cgroup files and /proc say: every container in every interval, the numbers themselves,
# processes with any name, children too short to be seen, and nothing lost in an outage with a kill -9.
. "$(dirname "$0")/agent.bash"
. "$(dirname "$0")/../peers/peers.bash"
need_cgroups agent_series
need_peer opentsdb_double agent_series
start_opentsdb_double || { not_ok the_double_starts; exit 1; }
DISK=$(mktemp -d /var/tmp/ebb-test.XXXXXX)
put_first_at_exit "rm -rf '$DISK'"

# inside NAME COMMAND...: in place of this (sub)shell.
inside() {
	local name=$1 c
	shift
	for c in $(controllers); do echo "$BASHPID" >"$(cg "$c" "$name")/cgroup.procs" || exit 1; done
	exec "$@"
}
# stopped NAME COMM SCRIPT: a bash in NAME that calls itself COMM and does SCRIPT each time that it is continued,
# then stops; sets PID.
stopped() {
	# shellcheck disable=SC2016 # the inner bash's
	(inside "$1" bash -c 'printf %s "$1" >/proc/self/comm; while :; do kill -STOP $BASHPID; eval "$2"; done' - "$2" "$3") &
	PID=$!
	disown
	wait_for is_stopped "$PID"
}
state_of() { sed 's/.*) //; s/ .*//' "/proc/$1/stat"; }
is_stopped() { [ "$(state_of "$1")" = T ]; }
cpu_ns() {
	local d
	d=$(cg cpuacct "$1")
	if [ -f "$d/cpuacct.usage" ]; then cat "$d/cpuacct.usage"; else awk '/^usage_usec/ {print $2 * 1000}' "$d/cpu.stat"; fi
}
working_set() { # bytes
	local d
	d=$(cg memory "$1")
	if [ -f "$d/memory.current" ]; then
		echo $(($(<"$d/memory.current") - $(awk '$1 == "inactive_file" {print $2}' "$d/memory.stat")))
	else
		echo $(($(<"$d/memory.usage_in_bytes") - $(awk '$1 == "total_inactive_file" {print $2}' "$d/memory.stat")))
	fi
}

points() { curl -s "$OPENTSDB/control/points" >"$TMP/points"; }
forget() { curl -s -X DELETE "$OPENTSDB/control/points" >/dev/null; }
# pick FILTER: of the points, `.metric`, `.timestamp`, `.value`, `.tags`.
pick() { jq -r "$1" "$TMP/points"; }
# intervals HOST N: at least N of them have been written.
intervals() {
	points
	[ "$(pick "[.[] | select(.tags.host == \"$1\") | .timestamp] | unique | length")" -ge "$2" ]
}
# is_near GOT WANT SHARE SLACK
is_near() { awk -v g="$1" -v w="$2" -v s="$3" -v a="$4" 'BEGIN {d = g - w; if (d < 0) d = -d; exit !(g != "" && g != "null" && d <= w * s + a)}'; }
# near NAME GOT WANT SHARE SLACK
near() {
	if is_near "${@:2}"; then ok "$1"; else not_ok "$1" "got $2, want $3 (+- $4 of it + $5)"; fi
}
# comes_near NAME GOT WANT SHARE SLACK: two commands, until they agree. For what stays as it is while the kernel
# sums up its counters of it one after another, and the agent tells it a second later.
comes_near() {
	local got want
	agree() { points && got=$($2) && want=$($3) && is_near "$got" "$want" "$4" "$5"; }
	wait_for agree "$@"
	near "$1" "$got" "$want" "$4" "$5"
}
# measured MEASURE: runs MEASURE, which adds lines NAME GOT WANT SHARE SLACK to $TMP/numbers, and checks them. A rate
# is that of the time between two readings, and the sum of rates only as exact as the agent woke in time; so a
# measurement that a busy machine spoilt is made again. What is counted wrongly is so each time.
measured() {
	local try numbers
	for try in 1 2 3 4 5; do
		: >"$TMP/numbers"
		"$1"
		mapfile -t numbers <"$TMP/numbers"
		all_near && break
		[ $try -lt 5 ] && printf 'again: %s\n' "${numbers[@]}"
	done
	# shellcheck disable=SC2086 # words
	for try in "${numbers[@]}"; do near $try; done
}
all_near() {
	local name got want share slack
	while read -r name got want share slack; do is_near "$got" "$want" "$share" "$slack" || return; done <"$TMP/numbers"
}
number() { echo "$1" "${2:-null}" "$3" "$4" "$5" >>"$TMP/numbers"; }
# So many intervals the agent could not keep up with, by its own account.
late() { curl -s "http://$ADDRESS/metrics" | sed -n 's/^ebb_agent_series_late_total //p'; }
# The seconds that are missing between the first and the last of those that FILTER selects.
missing() { pick "[.[] | select($1) | .timestamp] | if length > ${2:-5} then unique | .[-1] - .[0] + 1 - length else \"too few\" end"; }
# no_more_than NAME GOT MOST
no_more_than() { check "$1" test "$2" -le "$3"; }
more_intervals() { # HOST N
	local n
	points
	n=$(pick "[.[] | select(.tags.host == \"$1\") | .timestamp] | unique | length")
	wait_for intervals "$1" $((n + $2))
}
# With one second an interval a rate is an amount. used FILTER: ns of CPU.
used() { pick "[.[] | select(.metric == \"proc.cpu.user\" or .metric == \"proc.cpu.kernel\") | select($1) | .value] | add * 1e7"; }
latest() { pick "[.[] | select(.metric == \"$2\" and .tags.host == \"$1\")] | max_by(.timestamp) | .value"; }

# --- the metrics are made first: the double refuses others, as OpenTSDB does
"$BUILD/ebb-agent" --opentsdb "$OPENTSDB" --assign-metrics >"$TMP/assigned" 2>&1
same assign_metrics_succeeds $? 0
same print_mkmetric_is_one_line_of_arguments "$("$BUILD/ebb-agent" --print-mkmetric | wc -l)" 1
check every_printed_metric_was_made sh -c "for m in \$('$BUILD/ebb-agent' --print-mkmetric); do
	curl -s '$OPENTSDB/api/suggest?type=metrics&max=1000' | grep -q \"\\\"\$m\\\"\" || exit 1; done"

# --- the container set
make_cgroup busy
make_cgroup idle
stopped busy spinner 'while :; do :; done'
BUSY=$PID
start_agent --period 10 --opentsdb "$OPENTSDB" --opentsdb-period 1 --spool none || { not_ok the_agent_starts; finish; }
# Once it runs, no thread of it may do more than another: read any cgroup, configure networks, look at processes.
case $(privileges) in
"0000000000081002 0000000000081002 1 2") ok every_thread_has_given_up_the_rest ;;
*)
	if unfiltered; then
		skip every_thread_has_given_up_the_rest "built with a sanitizer, or a kernel without seccomp"
	else
		not_ok every_thread_has_given_up_the_rest "$(privileges)"
	fi
	;;
esac
wait_for intervals busy 2
busy_measure() {
	local before after
	forget
	more_intervals busy 2
	before=$(cpu_ns busy)
	kill -CONT "$BUSY"
	sleep 3.3
	kill -STOP "$BUSY"
	wait_for is_stopped "$BUSY"
	# At an even pace: a burst would fall into one interval, however long that is.
	(inside busy bash -c 'for ((i = 0; i < 20; i++)); do
		dd if=/dev/zero of="$1" bs=1M count=2 oflag=direct status=none; sleep 0.1; done' - "$DISK/file")
	after=$(cpu_ns busy)
	more_intervals busy 3
	number cpu_is_what_the_cgroup_counted "$(used '.tags.host == "busy"')" $((after - before)) 0.04 2e7
	number writes_are_what_was_written \
		"$(pick '[.[] | select(.metric == "proc.disk.writes.mb" and .tags.host == "busy") | .value] | add')" 40 0.04 1
}
measured busy_measure
page=$(getconf PAGESIZE)
# Points have two digits; a half may have become either.
statm() { awk -v p="$page" -v f="$1" '{printf "%.5f", $f * p / 1048576}' "/proc/$BUSY/statm"; }
mib_of() { "$@" | awk '{printf "%.5f", $1 / 1048576}'; }
comes_near resident_is_that_of_its_process "latest busy proc.mem.resident" "statm 2" 0 0.006
comes_near virtual_is_that_of_its_process "latest busy proc.mem.virtual" "statm 1" 0 0.006
comes_near working_set_is_that_of_the_cgroup "latest busy proc.mem.working_set" "mib_of working_set busy" 0 0.006
idle_for() { points; [ "$(pick '[.[] | select(.tags.host == "idle") | .timestamp] | unique | length')" -gt 6 ]; }
wait_for idle_for
late=$(late)
for metric in proc.cpu.user proc.cpu.kernel proc.mem.resident proc.mem.virtual proc.disk.reads.mb \
	proc.disk.writes.mb proc.cpu.throttled proc.mem.working_set; do
	same "idle_is_zero_and_told_once_of_$metric" "$(pick "[.[] | select(.tags == {host: \"idle\"} and .metric == \"$metric\")] |
		\"\(length > 5) \(all(.value == 0)) \(all(.writes == 1))\"")" "true true true"
	no_more_than "idle_has_every_second_of_$metric" "$(missing ".tags == {host: \"idle\"} and .metric == \"$metric\"")" "$late"
done
same nothing_but_containers_is_written "$(pick '[.[].tags | keys | tostring] | unique | tostring')" '["[\"host\"]"]'
same nothing_was_refused "$(curl -s "$OPENTSDB/control" | jq .counters.rejected)" 0
check no_body_is_too_large sh -c "[ \$(curl -s '$OPENTSDB/control' | jq .counters.largest_body) -le 8192 ]"
api GET /metrics >/dev/null
check metrics_tell_of_it grep -q '^ebb_agent_opentsdb_reachable 1$' "$TMP/body"

# A quota of a fifth of a core, all of it used.
d=$(cg cpu busy)
if [ -f "$d/cpu.max" ]; then echo "20000 100000" >"$d/cpu.max"; else echo 20000 >"$d/cpu.cfs_quota_us"; fi
n=$(pick '[.[].timestamp] | max')
kill -CONT "$BUSY"
throttled() { points; pick "[.[] | select(.metric == \"proc.cpu.throttled\" and .tags.host == \"busy\" and .timestamp > $n) | .value] | max"; }
is_throttled() { [ "$(throttled | jq '. != null and . >= 90')" = true ]; }
wait_for is_throttled
check a_throttled_container_says_so test "$(throttled | jq 'floor')" -ge 90
kill -9 "$BUSY"
stop_agent

# --- processes, and the host
forget
make_cgroup names
make_cgroup short
PIDS=()
# shellcheck disable=SC2016 # as above
for comm in 'two words' 'q"uote' '@[x]' $'\xc3\xa9l\xc3\xa8ve' 'a+b'; do
	stopped names "$comm" 'for ((i = 0; i < 400000; i++)); do :; done'
	PIDS+=("$PID")
done
# shellcheck disable=SC2016
stopped short parent 'for ((i = 0; i < 250; i++)); do /bin/true; (:); done'
PARENT=$PID
stopped names changes 'exec -a x sleep 1000'
EXEC=$PID
start_agent --period 10 --opentsdb "$OPENTSDB" --opentsdb-period 1 --opentsdb-sets process,host --spool none ||
	{ not_ok the_agent_starts_again; finish; }
wait_for intervals names 2
# Of all CPUs, so far: ticks of user, nice, system, idle and iowait; and the ticks that went by.
host_ticks() {
	awk -v hz="$(getconf CLK_TCK)" 'FNR == 1 && NR == 1 {up = $1} /^cpu / {t = $2 + $3 + $4 + $5 + $6} /^cpu[0-9]/ {n++}
		END {print t, up * hz * n}' /proc/uptime /proc/stat
}
# All of them, of the time since then, in %: interrupts and a hypervisor have theirs, and not every kernel counts
# each tick.
host_counted() { echo "$1 $(host_ticks)" | awk '{printf "%.3f", 100 * ($3 - $1) / ($4 - $2)}'; }
process_measure() {
	local before after pid now host counted
	local -A from=()
	forget
	more_intervals names 2
	host=$(host_ticks)
	before=$(cpu_ns short)
	for pid in "${PIDS[@]}"; do read -r from["$pid"] _ <"/proc/$pid/schedstat"; done
	kill -CONT "${PIDS[@]}" "$PARENT"
	for pid in "${PIDS[@]}" "$PARENT"; do wait_for is_stopped "$pid"; done
	after=$(cpu_ns short)
	more_intervals names 3
	for pid in "${PIDS[@]}"; do
		read -r now _ <"/proc/$pid/schedstat"
		number "a_process_called_$(tr -dc 'a-z' <"/proc/$pid/comm")_counts" "$(used ".tags.pid == \"$pid\"")" $((now - from[$pid])) 0.05 1e7
	done
	number short_lives_are_counted "$(used '.tags.host == "short"')" $((after - before)) 0.06 2e7
	# What is not counted is not spread evenly, and the agent's intervals begin and end elsewhere. A tick more than
	# fits into an interval, 1 %, is cut off; the one that the next lacks is not made up.
	counted=$(host_counted "$host")
	number idle_cpu_of_the_host "$(pick '[.[] | select(.metric == "sys.cpu.idle" or .metric == "sys.cpu.user" or .metric == "sys.cpu.kernel" or
		.metric == "sys.cpu.wait")] | group_by([.timestamp, .tags.core]) | [.[] | map(.value) | add] | add / length')" \
		"$counted" 0 "$(awk -v c="$counted" 'BEGIN {d = 100 - c; if (d < 0) d = -d; print 0.7 + d / 2}')"
}
kill -CONT "$EXEC"
measured process_measure
same every_name_is_a_valid_tag "$(pick '[.[].tags[] | select(test("^[-_./A-Za-z0-9]+$") | not)] | length')" 0
check short_lives_have_no_pid_of_their_own test "$(pick '[.[] | select(.tags.host == "short") | .tags.pid] | unique | length')" -le 20
near exec_goes_on_under_the_new_name "$(pick "[.[] | select(.tags.host == \"names\" and .metric == \"proc.cpu.user\" and .value > 150)] | length")" 0 0 0
late=$(late)
no_more_than every_container_has_every_second "$(missing '.tags == {host: "idle"} and .metric == "proc.mem.resident"' 4)" "$late"
latest_free() { pick '[.[] | select(.metric == "sys.mem.free")] | max_by(.timestamp) | .value'; }
free_mib() { awk '/^MemFree/ {print $2 / 1024}' /proc/meminfo; }
comes_near free_memory_of_the_host latest_free free_mib 0.3 200
same nothing_was_refused_of_processes "$(curl -s "$OPENTSDB/control" | jq .counters.rejected)" 0
same lost_ends_are_none "$(curl -s "http://$ADDRESS/metrics" | grep ^ebb_agent_series_lost_exits_total)" "ebb_agent_series_lost_exits_total 0"
# One that ends is closed by a zero.
kill -9 "${PIDS[0]}"
last_values() { points; pick "[.[] | select(.tags.pid == \"${PIDS[0]}\")] | group_by(.metric) | map(max_by(.timestamp).value) | unique | tostring"; }
ended() { [ "$(last_values)" = "[0]" ]; }
wait_for ended
more_intervals names 2
same an_ended_process_ends_at_zero "$(last_values)" "[0]"
stop_agent

# --- an outage, and a kill -9 in it
forget
start_agent --period 10 --opentsdb "$OPENTSDB" --opentsdb-period 1 --opentsdb-sets container,host --spool "$TMP/spool" ||
	{ not_ok the_agent_starts_with_a_spool; finish; }
wait_for intervals idle 2
kill_opentsdb_double
metric() { sed -n "s/^$1 //p" "$TMP/body"; }
# All that was made is taken, or in the spool.
waiting() {
	api GET /metrics >/dev/null
	[ "$(metric ebb_agent_opentsdb_waiting_points)" -ge 100 ] || return 1
	MADE_POINTS=$(metric ebb_agent_series_points_total)
	[ $(($(metric ebb_agent_opentsdb_waiting_points) + $(metric ebb_agent_opentsdb_points_total))) -eq "$MADE_POINTS" ]
}
wait_for waiting
check points_wait_while_nobody_takes_them test "${MADE_POINTS:-0}" -gt 100
TAKEN=$(metric ebb_agent_opentsdb_points_total)
ebb_doctor() { "$BUILD/ebb" doctor --agent "http://$ADDRESS" >"$TMP/doctor" 2>&1; }
ebb_doctor
check doctor_says_what_waits grep -qE '^WARN  *opentsdb  *does not take points, [0-9]+ wait' "$TMP/doctor"
late=$(late)
stop_agent KILL
restart_opentsdb_double
"$BUILD/ebb-agent" --opentsdb "$OPENTSDB" --assign-metrics >/dev/null 2>&1
start_agent --period 10 --opentsdb "$OPENTSDB" --opentsdb-period 1 --opentsdb-sets container,host --spool "$TMP/spool" ||
	{ not_ok the_agent_starts_after_the_kill; finish; }
# The double forgot what it had, and each point is told once.
arrived() { points; [ "$(pick 'length')" -ge $((MADE_POINTS - TAKEN)) ] && intervals idle 4; }
wait_for arrived
same nothing_that_waited_was_lost "$(pick "length >= $((MADE_POINTS - TAKEN))")" true
late=$((late + $(late)))
# One gap is that between the two agents.
no_more_than no_second_of_the_outage_is_missing "$(pick '[.[] | select(.tags == {host: "idle"} and .metric == "proc.cpu.user") | .timestamp] | unique |
	. as $t | [range(1; length) | $t[.] - $t[. - 1] - 1] | add - max')" "$late"
stop_agent

# --- a real server
why=$("$PEERS/peer" --why victoria)
if [ -n "$why" ]; then
	skip victoria_has_the_same_numbers "$why"
	finish
fi
start_victoria || not_ok victoria_starts
start_agent --period 10 --opentsdb "$VICTORIA" --opentsdb-period 1 --spool none || { not_ok the_agent_starts_for_victoria; finish; }
stored() { [ "$(victoria_export '{__name__="proc.mem.working_set",host="names"}' | jq '.values | length')" -ge 3 ] 2>/dev/null; }
wait_for stored
victoria_last() { victoria_export '{__name__="proc.mem.working_set",host="names"}' | jq '.values[-1]'; }
comes_near victoria_has_the_same_numbers victoria_last "mib_of working_set names" 0 0.006
same victoria_has_every_name "$(victoria_export '{host="idle"}' | jq -r '.metric.__name__' | sort | tr '\n' ' ')" \
	"proc.cpu.kernel proc.cpu.throttled proc.cpu.user proc.disk.reads.mb proc.disk.writes.mb proc.mem.resident proc.mem.virtual proc.mem.working_set "
stop_agent

# --- mistakes
"$BUILD/ebb-agent" --opentsdb http://u:hunter2@127.0.0.1:1 --opentsdb-sets proc >"$TMP/out" 2>&1
same a_set_that_does_not_exist_is_one_clear_line "$(wc -l <"$TMP/out") $(grep -c 'write container, process, host' "$TMP/out")" "1 1"
# Without the capabilities for eBPF.
without_bpf() { setpriv --bounding-set=-bpf,-sys_admin,-perfmon --inh-caps=-all "$@"; }
without_bpf "$BUILD/ebb-agent" --listen 127.0.0.1:0 --pin-dir "$PIN" --opentsdb http://127.0.0.1:1 --opentsdb-sets process --spool none \
	>"$TMP/process" 2>&1
same processes_without_ebpf_are_refused "$? $(grep -c 'error --opentsdb-sets process needs eBPF.*leave `process` out' "$TMP/process")" "1 1"
check the_password_is_not_shown sh -c "! grep -q hunter2 '$TMP/out'"
finish
