#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where points wait when nobody says where: on the disk, so that a restart loses none; and a second
# program that would share the place says what to do. In mount namespaces with a /var/lib of their own.
. "$(dirname "$0")/agent.bash"
need_cgroups spool_default
if ! unshare --mount true 2>/dev/null; then
	skip spool_default "no mount namespace can be made here"
	exit 0
fi
# Not there: points wait.
gone=http://127.0.0.1:1
make_cgroup idle

# in_var_lib COMMAND...: in place of this (sub)shell, with an empty directory of ours as /var/lib.
mkdir "$TMP/lib"
in_var_lib() { exec unshare --mount sh -c 'mount --bind "$1" /var/lib && shift && exec "$@"' sh "$TMP/lib" "$@"; }
agent() {
	in_var_lib "$BUILD/ebb-agent" --listen 127.0.0.1:0 --sampler files --name "$TAG" --containers "$TAG/*" \
		--opentsdb "$gone" --opentsdb-period 1 "$@"
}
controller() { in_var_lib "$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "sqlite:$TMP/$1.db" --opentsdb "$gone" "${@:2}"; }

agent --pin-dir "$PIN" 2>"$TMP/first.log" &
AGENT=$!
waits() { [ "$(stat -c %s "$TMP"/lib/ebb/spool/agent/*.spool 2>/dev/null | sort -n | tail -n 1)" -gt 0 ] 2>/dev/null; }
check points_wait_on_the_disk wait_for waits
same nobody_else_can_look "$(stat -c %a "$TMP/lib/ebb" "$TMP/lib/ebb/spool" "$TMP/lib/ebb/spool/agent" | tr '\n' ' ')" "700 700 700 "
(agent --pin-dir "$PIN-2") >"$TMP/second.log" 2>&1
same a_second_agent_is_refused "$? $(grep -c 'error the spool /var/lib/ebb/spool/agent is in use by another process: give this one its own with --spool DIR, or --spool none' "$TMP/second.log")" "1 1"
# Its own, and memory: both start.
for spool in "$TMP/own/spool" none; do
	timeout 2 "$BUILD/ebb-agent" --listen 127.0.0.1:0 --sampler files --pin-dir "$PIN-2" --opentsdb "$gone" --spool "$spool" >"$TMP/third.log" 2>&1
	check "with_$(basename "$spool")_it_starts" listening "$TMP/third.log"
done
check missing_parents_are_made [ -e "$TMP/own/spool/lock" ]
same none_is_no_directory "$(find . -maxdepth 1 -name none | wc -l)" 0
kill -9 "$AGENT"
wait "$AGENT" 2>/dev/null
AGENT=

# --- the controller's is another; a second one on the machine
controller one 2>"$TMP/controller.log" &
AGENT=$!
has_spool() { [ -e "$TMP/lib/ebb/spool/controller/lock" ]; }
check controller_has_its_own wait_for has_spool
wait_for grep -q 'listens on' "$TMP/controller.log"
(controller two) >"$TMP/second.log" 2>&1
same a_second_controller_is_refused "$? $(grep -c 'error the spool /var/lib/ebb/spool/controller is in use' "$TMP/second.log")" "1 1"
kill "$AGENT"
wait "$AGENT"
AGENT=

# --- no place
(in_var_lib sh -c 'mount -o remount,ro,bind /var/lib && exec "$@"' sh timeout -k 1 10 "$BUILD/ebb-agent" --listen 127.0.0.1:0 \
	--sampler files --pin-dir "$PIN" --opentsdb "$gone") >"$TMP/ro.log" 2>&1
same a_disk_that_is_read_only_is_named "$(grep -c "error cannot .* the spool /var/lib/ebb/spool/agent.*Read-only file system" "$TMP/ro.log")" 1
finish
