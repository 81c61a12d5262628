# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034 # what it sets is for those who source it
# For shell tests: the servers that Ebb talks to, each on a free port of loopback, ready when start_X
# returns, killed at the end whatever happens. Source it after the other helpers: it puts its cleanup
# before theirs. What cannot be had here: `need_peer KIND NAME` says "skip NAME" and ends the script.
#
#   start_couchdb                    COUCHDB (no password in it), COUCHDB_URL (with it), COUCHDB_STATE
#                                    (the same with a prefix of this test's own)
#   start_victoria                   VICTORIA (puts), VICTORIA_HTTP (queries)
#   start_influx                     INFLUX (puts), INFLUX_HTTP (queries); the database is there
#   start_opentsdb_double MODE=V...  OPENTSDB
#   start_couchdb_double MODE=V...   COUCHDB and so on, as start_couchdb does
#   kill_X, restart_X                kill -9 of the last one started; the same directory and port again
#   PEER_DIR[X], PEER_PID[X]         its directory (log, data) and process
#
# EBB_TEST_COUCHDB=URL: start_couchdb takes this server, with user and password in the URL, under a
# prefix that is dropped at the end. It cannot be killed: ask couchdb_is_ours before.
PEERS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers_tmp=$(mktemp -d)
declare -A PEER_DIR=() PEER_PID=() PEER_ARGS=()
peers_pids=()
peers_number=0
COUCHDB='' COUCHDB_URL='' COUCHDB_STATE='' COUCHDB_PREFIX=''
VICTORIA='' VICTORIA_HTTP='' INFLUX='' INFLUX_HTTP='' OPENTSDB=''

# need_peer KIND NAME
need_peer() {
	local why
	[ "$1" = couchdb ] && [ -n "${EBB_TEST_COUCHDB-}" ] && return
	why=$("$PEERS/peer" --why "$1")
	[ -z "$why" ] && return
	echo "skip $2 # no $1: $why"
	exit 0
}

# run_peer KIND: in PEER_DIR[KIND], with PEER_ARGS[KIND].
run_peer() {
	local kind=$1 pid args
	eval "args=(${PEER_ARGS[$kind]})"
	rm -f "${PEER_DIR[$kind]}/address"
	# A test that is killed takes its servers with it.
	setpriv --pdeathsig KILL "$PEERS/peer" "$kind" "${PEER_DIR[$kind]}" "${args[@]}" &
	pid=$!
	peers_pids+=("$pid")
	PEER_PID[$kind]=$pid
	"$PEERS/peer" --wait "$kind" "${PEER_DIR[$kind]}" "$pid"
}
# start_peer KIND ARG...
start_peer() {
	local kind=$1 try
	shift
	PEER_ARGS[$kind]=${*+"${*@Q}"}
	# A port may be taken by another between the choice and the start.
	for try in 1 2 3; do
		peers_number=$((peers_number + 1))
		PEER_DIR[$kind]=$peers_tmp/$kind.$peers_number
		run_peer "$kind" && return
		kill_peer "$kind"
	done
	echo "$kind does not start:" >&2
	tail -n 20 "${PEER_DIR[$kind]}/log" >&2
	return 1
}
kill_peer() {
	kill "-${2:-KILL}" "${PEER_PID[$1]}" 2>/dev/null
	wait "${PEER_PID[$1]}" 2>/dev/null
	return 0
}
restart_peer() {
	local try
	kill_peer "$1"
	for try in 1 2 3; do run_peer "$1" && return; done
	tail -n 20 "${PEER_DIR[$1]}/log" >&2
	return 1
}

couchdb_is_ours() { [ -z "${EBB_TEST_COUCHDB-}" ]; }
set_couchdb() { # URL with user and password
	COUCHDB_URL=${1%/}
	COUCHDB=${COUCHDB_URL/\/\/*@/\/\/}
	COUCHDB_PREFIX=ebb_test_$$_$RANDOM
	COUCHDB_PREFIX+=_
	COUCHDB_STATE=$COUCHDB_URL/$COUCHDB_PREFIX
}
start_couchdb() {
	if ! couchdb_is_ours; then
		set_couchdb "$EBB_TEST_COUCHDB"
		return
	fi
	start_peer couchdb || return
	set_couchdb "$(sed 's|//|//admin:adminpw@|' "${PEER_DIR[couchdb]}/address")"
}
kill_couchdb() { kill_peer couchdb; }
restart_couchdb() { restart_peer couchdb; }
drop_couchdb() {
	local db
	couchdb_is_ours || [ -z "$COUCHDB_PREFIX" ] && return
	for db in $(curl -s "$COUCHDB_URL/_all_dbs" | tr -d '[]"\n' | tr , ' '); do
		case $db in "$COUCHDB_PREFIX"*) curl -s -o /dev/null -X DELETE "$COUCHDB_URL/$db" ;; esac
	done
}

start_couchdb_double() {
	start_peer couchdb_double "$@" || return
	set_couchdb "$(sed 's|//|//admin:adminpw@|' "${PEER_DIR[couchdb_double]}/address")"
}
kill_couchdb_double() { kill_peer couchdb_double; }
restart_couchdb_double() { restart_peer couchdb_double; }

start_opentsdb_double() { start_peer opentsdb_double "$@" && OPENTSDB=$(cat "${PEER_DIR[opentsdb_double]}/address"); }
kill_opentsdb_double() { kill_peer opentsdb_double; }
restart_opentsdb_double() { restart_peer opentsdb_double; }
# control ADDRESS JSON: sets modes of a double; prints them all.
control() { curl -s -k -H 'Content-Type: application/json' --data-binary "$2" "$1/control"; }

start_victoria() {
	start_peer victoria || return
	VICTORIA=$(cat "${PEER_DIR[victoria]}/address") VICTORIA_HTTP=$(cat "${PEER_DIR[victoria]}/health")
}
kill_victoria() { kill_peer victoria; }
restart_victoria() { restart_peer victoria; }
# victoria_export SELECTOR: what is stored, one JSON line per series: metric, values, timestamps (ms).
victoria_export() {
	curl -s "$VICTORIA_HTTP/internal/force_flush"
	curl -s -G "$VICTORIA_HTTP/api/v1/export" --data-urlencode "match[]=$1"
}

start_influx() {
	start_peer influx || return
	INFLUX=$(cat "${PEER_DIR[influx]}/address") INFLUX_HTTP=$(cat "${PEER_DIR[influx]}/health")
	influx_query 'CREATE DATABASE opentsdb' >/dev/null
}
kill_influx() { kill_peer influx; }
restart_influx() { restart_peer influx; }
influx_query() {
	curl -s -X POST "$INFLUX_HTTP/query?db=opentsdb&epoch=s" --data-urlencode "q=$1"
}

end_of_peers() {
	local pid
	drop_couchdb
	for pid in "${peers_pids[@]+"${peers_pids[@]}"}"; do
		# Its number may be somebody else's by now: only while it is our child.
		case " $(jobs -p | tr '\n' ' ') " in *" $pid "*) kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null ;; esac
	done
	rm -rf "$peers_tmp"
}
# What ends the test already goes on doing so, after this.
put_first_at_exit() {
	local mine=$1
	eval "set -- $(trap -p EXIT)"
	# shellcheck disable=SC2064 # as it is now
	trap "$mine; ${3:-:}" EXIT
}
put_first_at_exit end_of_peers
