# SPDX-License-Identifier: Apache-2.0
# For the shell tests with two controllers on one CouchDB: loop.bash, peers.bash, and the controllers by
# number. Source it.
. "$(dirname "${BASH_SOURCE[0]}")/loop.bash"
. "$(dirname "${BASH_SOURCE[0]}")/../peers/peers.bash"
LISTEN=(- 127.0.0.1:0 127.0.0.1:0)
CTL=(- '' '')

says_that_it_listens() { grep -q 'listens on' "$TMP/c$1.log" || ! kill -0 "${CTL[$1]}" 2>/dev/null; }
# start_ctl N ARG...: at the port that it had before.
start_ctl() {
	local n=$1 address
	shift
	: >"$TMP/c$n.log"
	"$BUILD/ebb-controller" --listen "${LISTEN[$n]}" --state "$COUCHDB_STATE" --audit "$TMP/audit$n.jsonl" \
		--log-level "${LEADER_LOG-info}" "$@" 2>>"$TMP/c$n.log" &
	CTL[n]=$!
	wait_for says_that_it_listens "$n"
	address=$(sed -n 's/.*listens on \([^ ,]*\).*/\1/p' "$TMP/c$n.log")
	if [ -z "$address" ]; then
		cat "$TMP/c$n.log" >&2
		return 1
	fi
	LISTEN[n]=$address
	cp "$TMP/c$n.log" "$TMP/controller.log"
}
# kill_ctl N SIGNAL
kill_ctl() {
	kill "-$2" "${CTL[$1]}" 2>/dev/null
	wait "${CTL[$1]}" 2>/dev/null
	CTL[$1]=
}
# of N PATH FILTER: a field of what controller N answers.
of() { curl -s -m 5 "http://${LISTEN[$1]}$2" | jq -r "$3"; }
role() { of "$1" /leader .role; }
leads() { [ "$(role "$1")" = leader ] && CONTROLLER_LISTEN=${LISTEN[$1]}; }
stands_by() { [ "$(of "$1" /leader '.role + " " + (.leader // "-")')" = "standby http://${LISTEN[$2]}" ]; }
# knows_standby N M: the leader N has M in its list, and in it alone for what it does without CouchDB.
knows_standby() { [ "$(of "$1" /leader '.standbys | join(" ")')" = "http://${LISTEN[$2]}" ]; }
knows_no_standby() { [ "$(of "$1" /leader '.standbys | length')" = 0 ]; }
fed_by() { # as the agent says it
	[ "$(curl -s "http://$ADDRESS/heartbeat" | jq -r '.controller + " " + (.controller_connected | tostring)')" = \
		"http://${LISTEN[$1]} true" ]
}
agent_term() { curl -s "http://$ADDRESS/heartbeat" | jq -r .term; }

end_of_ctls() {
	local n
	for n in 1 2; do
		[ -n "${CTL[$n]}" ] && kill -9 "${CTL[$n]}" 2>/dev/null && wait "${CTL[$n]}" 2>/dev/null
	done
}
put_first_at_exit end_of_ctls
