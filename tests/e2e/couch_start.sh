#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starting with a CouchDB that is not there, not ours or not right: one line says what to do, the password is
# nowhere to be seen. Beside others.
. "$(dirname "$0")/couch.bash"
need_peer couchdb_double couch_start
start_couchdb_double || exit 1
double_is_up=$COUCHDB

# start_only OPTION...: a controller that need not come up. CONTROLLER, CONTROLLER_LOG.
start_only() {
	CONTROLLER_LOG=$TMP/controller.log
	: >"$CONTROLLER_LOG" # before the controller does it: the last one's lines must not be taken for its own
	"$BUILD/ebb-controller" --listen 127.0.0.1:0 --audit "$TMP/audit.jsonl" "$@" 2>"$CONTROLLER_LOG" &
	CONTROLLER=$!
}
logged() { grep -q "$1" "$CONTROLLER_LOG"; }
lines() { wc -l <"$CONTROLLER_LOG"; }
is_up() { grep -q ' listens on ' "$CONTROLLER_LOG"; }
find_address() { CONTROLLER_LISTEN=$(sed -n 's/.* listens on \([^ ,]*\).*/\1/p' "$CONTROLLER_LOG"); }
# Whoever looks at the processes, or at the log.
secret_is_hidden() {
	! tr '\0' '\n' <"/proc/$CONTROLLER/cmdline" | grep -q "$1" && ! grep -q "$1" "$CONTROLLER_LOG"
}
ends() { ! kill -0 "$CONTROLLER" 2>/dev/null; }
# ended NAME STATUS
ended() {
	check "$1_ends" within 20 ends
	wait "$CONTROLLER"
	same "$1" $? "$2"
	CONTROLLER=
}

# --- no server
kill_couchdb_double
start_only --state "$COUCHDB_STATE"
check waits_and_says_so within 20 logged 'Waiting'
check names_the_server logged "${COUCHDB#http://}"
check hides_the_password secret_is_hidden adminpw
sleep 2
same says_it_once "$(grep -c 'Waiting' "$CONTROLLER_LOG")" 1
check does_not_listen_yet eval '! is_up'
kill -TERM "$CONTROLLER"
ended sigterm_while_waiting 0
start_only --state "$COUCHDB_STATE"
check waits_again within 20 logged 'Waiting'
restart_couchdb_double
check begins_when_it_is_there within 20 is_up
check hides_the_password_still secret_is_hidden adminpw
kill -TERM "$CONTROLLER"
ended sigterm 0

# --- without it, if told so
kill_couchdb_double
start_only --state "$COUCHDB_STATE" --state-optional
check optional_begins within 20 is_up
find_address
check optional_answers within 20 eval 'ask GET /heartbeat >/dev/null'
check optional_tells within 20 eval '[ "$(heartbeat .state.reachable)" = false ]'
# Somebody else may lead: it cannot know.
same optional_does_not_lead "$(heartbeat .role)" '"standby"'
set_timeout() { ask PUT /service/guardian '{"EVENT_TIMEOUT":4}' >/dev/null; }
check optional_changes_nothing eval '! set_timeout'
# A part of it cannot be read at first: what is changed now would give way to what is in there.
refused_for() { # SECONDS
	local end=$((SECONDS + $1))
	while [ $SECONDS -lt "$end" ]; do
		set_timeout && return 1
		sleep 0.1
	done
}
PEER_ARGS[couchdb_double]="fail=503 fail_path=services/_all_docs"
restart_couchdb_double
PEER_ARGS[couchdb_double]=''
tried() { [ "$(curl -s "$COUCHDB/control" | jq '.counters.statuses."503" // 0')" -ge 3 ]; }
check optional_tries_to_read_all_of_it within 20 tried
check optional_changes_nothing_before_all_is_read refused_for 5
control "$COUCHDB" '{"fail":null}' >"$TMP/control"
check optional_takes_changes_when_it_has_read_all within 20 set_timeout
check optional_writes_them within 20 field_is services guardian .config.EVENT_TIMEOUT 4
check optional_tells_that_it_is_back within 20 eval '[ "$(heartbeat .state.reachable)" = true ]'
kill -TERM "$CONTROLLER"
ended sigterm_optional 0

# --- between winning the lease and leading it sends nobody to itself
control "$COUCHDB" '{"delay_ms":100}' >"$TMP/control"
start_only --state "$COUCHDB_STATE"
check begins_slowly within 40 is_up
find_address
answers=
takes_the_change() {
	local code
	code=$(curl -s -o "$TMP/answer" -w '%{http_code}' -X PUT "http://$CONTROLLER_LISTEN/service/guardian" --data '{"EVENT_TIMEOUT":4}')
	[[ " $answers " = *" $code "* ]] || answers+=" $code"
	[ "$code" = 200 ]
}
check takes_it_when_it_leads within 40 takes_the_change
same until_then_nobody_leads "$answers" ' 503 200'
control "$COUCHDB" '{"delay_ms":0}' >"$TMP/control"
kill -TERM "$CONTROLLER"
ended sigterm_slow 0

# --- credentials
printf 'admin:adminpw\n' >"$TMP/credentials"
chmod 600 "$TMP/credentials"
start_only --state "$COUCHDB/$COUCHDB_PREFIX" --state-credentials "$TMP/credentials"
check credentials_from_a_file within 20 is_up
check file_is_not_shown secret_is_hidden adminpw
kill -TERM "$CONTROLLER"
ended sigterm_credentials 0
start_only --state "$COUCHDB/$COUCHDB_PREFIX" --state-credentials "$TMP/credentials" --state-auth cookie
check cookie within 20 is_up
find_address
control "$COUCHDB" '{"expire_cookies":true}' >"$TMP/control"
check change_after_the_cookie_expired within 20 eval 'ask PUT /service/guardian "{\"EVENT_TIMEOUT\":5}" >/dev/null'
check cookie_is_renewed within 20 field_is services guardian .config.EVENT_TIMEOUT 5
kill -TERM "$CONTROLLER"
ended sigterm_cookie 0
start_only --state "$COUCHDB/$COUCHDB_PREFIX" --state-credentials "$TMP/nothing"
ended no_credentials_file 1
check says_which_file logged "$TMP/nothing"
same one_line_for_the_file "$(lines)" 1

start_only --state "http://admin:geheim@${COUCHDB#http://}/$COUCHDB_PREFIX"
ended wrong_password 1
check wrong_password_is_said logged 'password is wrong'
check wrong_password_is_hidden eval '! grep -q geheim "$CONTROLLER_LOG"'
same wrong_password_in_one_line "$(lines)" 1

# --- rights
control "$COUCHDB" '{"index_forbidden":"all"}' >"$TMP/control"
start_only --state "$COUCHDB_URL/other_$COUCHDB_PREFIX"
check missing_index_rights_are_said within 20 logged 'index'
kill -TERM "$CONTROLLER"
wait "$CONTROLLER"
CONTROLLER=
control "$COUCHDB" '{"index_forbidden":false}' >"$TMP/control"
start_only --state "http://ebb:ebbpw@${COUCHDB#http://}/third_$COUCHDB_PREFIX"
ended no_right_to_make_databases 1
check says_which_right logged 'user ebb do PUT /third_.*give the user that right'
check not_allowed_hides_the_password eval '! grep -q ebbpw "$CONTROLLER_LOG"'
same not_allowed_in_one_line "$(lines)" 1

# --- addresses that cannot be meant
# wrong NAME URI PATTERN
wrong() {
	start_only --state "$2"
	ended "$1" 1
	same "$1_in_one_line" "$(lines)" 1
	check "$1_is_said" logged "$3"
	check "$1_hides_the_password" eval '! grep -q geheim "$CONTROLLER_LOG"'
}
wrong other_scheme 'ftp://u:geheim@h/' 'ftp\|http'
wrong bad_port 'http://u:geheim@127.0.0.1:99999/' 'PORT'
wrong bad_prefix "http://u:geheim@${COUCHDB#http://}/Upper_" 'a-z'

# --- TLS
start_couchdb_double tls=true
start_only --state "$COUCHDB_STATE" --ca-file "${PEER_DIR[couchdb_double]}/ca.pem"
check tls_with_our_ca within 20 is_up
kill -TERM "$CONTROLLER"
ended sigterm_tls 0
start_only --state "$COUCHDB_STATE"
check unknown_ca_is_said within 20 logged 'certificate.*--ca-file'
kill -9 "$CONTROLLER"
wait "$CONTROLLER" 2>/dev/null
CONTROLLER=
exit $failed
