#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A site with mutual TLS: agent, controller and ebb, each way. New certificates on SIGHUP, no feed lost;
# who is not to come in does not, and is told why.
# shellcheck source=tests/e2e/controller.bash
. "$(dirname "$0")/controller.bash"
# shellcheck source=tests/e2e/tls.bash
. "$(dirname "$0")/tls.bash"
need_cgroups tls
command -v openssl >/dev/null || { skip tls "openssl is missing: it makes the certificates"; exit 0; }

SAN=DNS:localhost,IP:127.0.0.1
make_ca ca && make_ca stranger && make_cert ca agent $SAN && make_cert ca controller $SAN &&
	make_cert ca person DNS:person && make_cert stranger intruder $SAN && make_cert ca renewed $SAN &&
	make_cert ca elsewhere DNS:elsewhere.example && make_cert ca old $SAN 0 || exit 1
# Good to the end of the second in which it was made.
while openssl x509 -checkend 0 -noout -in "$TMP/old.pem" >/dev/null; do sleep 0.1; done
sleep 1.1
TOKEN=0123456789abcdef-of-the-site
(umask 077 && echo $TOKEN >"$TMP/token")
for who in agent controller person; do cp "$TMP/$who.pem" "$TMP/$who.now.pem" && cp "$TMP/$who.key" "$TMP/$who.now.key"; done
tls_of() {
	echo "--token-file $TMP/token --tls-cert $TMP/$1.now.pem --tls-key $TMP/$1.now.key --tls-client-ca $TMP/ca.pem
		--ca-file $TMP/ca.pem --client-cert $TMP/$1.now.pem --client-key $TMP/$1.now.key"
}
told() { [ "$(grep -c 'SIGHUP: ' "$1")" -gt "$2" ]; }
hup() {
	local before
	before=$(grep -c 'SIGHUP: ' "$2")
	kill -HUP "$1" && wait_for told "$2" "$before"
}
# get URL CURL-OPTION...: the status, 000 without an answer; why not is in $TMP/why.
get() {
	local url=$1
	shift
	curl -sS -o "$TMP/body" -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "$@" "$url" 2>"$TMP/why"
}
as() { echo "--cacert $TMP/ca.pem --cert $TMP/$1.pem --key $TMP/$1.key"; }
# shown HOST:PORT: the serial number of its certificate.
shown() { openssl s_client -connect "$1" -cert "$TMP/person.pem" -key "$TMP/person.key" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
serial() { openssl x509 -noout -serial -in "$TMP/$1.pem"; }
metric() { get "https://$ADDRESS/metrics" $(as person) >/dev/null && sed -n "s/^$1 //p" "$TMP/body"; }
fed_since() { [ "$(metric ebb_agent_feed_batches_total)" -gt "$1" ]; }
goes_on() { wait_for fed_since "$(metric ebb_agent_feed_batches_total)"; }
feeding() { grep -q 'feeding controller https://' "$TMP/agent.log"; }

# shellcheck disable=SC2046
start_controller $(tls_of controller) || exit 1
CONTROLLER_ADDRESS=https://${CONTROLLER_ADDRESS#http://}
make_cgroup c0 || exit 1
# shellcheck disable=SC2046
start_agent $(tls_of agent) --controller "$CONTROLLER_ADDRESS" || exit 1
check tls_agent_feeds_over_tls wait_for feeding
export EBB_CA_FILE=$TMP/ca.pem EBB_CLIENT_CERT=$TMP/person.now.pem EBB_CLIENT_KEY=$TMP/person.now.key EBB_TOKEN_FILE=$TMP/token
listed() { [ "$(ebb ps)" = 0 ] && grep -q "$TAG/c0\|c0" "$TMP/out"; }
check tls_ebb_lists wait_for listed
# The order goes by TLS from the controller to the agent, and is answered when the limit is in force.
curl_controller() { get "$CONTROLLER_ADDRESS$1" $(as person) "${@:2}"; }
subscribe() {
	curl_controller /structure/container/c0 -X PUT -d "{\"container\":{\"name\":\"c0\",\"resources\":{
		\"cpu\":{\"max\":$1,\"current\":$1,\"min\":10,\"guard\":false},\"mem\":{\"max\":256,\"current\":256,\"min\":64,\"guard\":false}},
		\"host_rescaler_ip\":\"$TAG\",\"host_rescaler_port\":\"8000\",\"host\":\"$TAG\",\"guard\":false,\"subtype\":\"container\"},
		\"limits\":{\"resources\":{\"cpu\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"},\"mem\":{\"boundary\":10,\"boundary_type\":\"percentage_of_max\"}}}}"
}
limit() { get "https://$ADDRESS/container/c0" $(as person) >/dev/null && jq -r .cpu.cpu_allowance_limit "$TMP/body"; }
same tls_order_reaches_the_agent "$(subscribe 50) $(limit)" "200 50"

# The ways in that are closed: no request is read, so none of them is counted.
requests() { metric ebb_agent_http_requests_total; }
before=$(requests)
same tls_without_a_certificate "$(get "https://$ADDRESS/heartbeat" --cacert "$TMP/ca.pem")" 000
same tls_with_a_certificate_of_another_ca \
	"$(get "https://$ADDRESS/heartbeat" --cacert "$TMP/ca.pem" --cert "$TMP/intruder.pem" --key "$TMP/intruder.key")" 000
same tls_with_an_expired_certificate \
	"$(get "https://$ADDRESS/heartbeat" --cacert "$TMP/ca.pem" --cert "$TMP/old.pem" --key "$TMP/old.key")" 000
same tls_1_1 "$(get "https://$ADDRESS/heartbeat" $(as person) --tls-max 1.1)" 000
same tls_1_2 "$(get "https://$ADDRESS/heartbeat" $(as person) --tls-max 1.2)" 200
same tls_1_3 "$(get "https://$ADDRESS/heartbeat" $(as person) --tlsv1.3)" 200
same tls_plain_http "$(get "http://$ADDRESS/heartbeat")" 000
same tls_nothing_of_it_was_a_request "$(($(requests) - before))" 3
same tls_certificate_is_no_token "$(curl -s -o /dev/null -w '%{http_code}' $(as person) -X PUT -d '{}' "https://$ADDRESS/container/c0")" 401

# What ebb says when it goes wrong.
says() {
	local name=$1 want=$2
	shift 2
	if [ "$("$@")" != 0 ] && grep -q -e "$want" "$TMP/err"; then ok "$name"; else not_ok "$name" "$(err)"; fi
}
ebb_with() { (export "${@}" && ebb ps); }
says tls_ebb_believes_another_ca 'nobody whom we believe vouches' ebb_with EBB_CA_FILE="$TMP/stranger.pem"
says tls_ebb_without_a_certificate 'take our certificate\|did not take ours' ebb_with EBB_CLIENT_CERT= EBB_CLIENT_KEY=
says tls_ebb_with_half_a_pair 'belong together' ebb_with EBB_CLIENT_KEY=
says tls_ebb_with_another_key 'is not the key of' ebb_with EBB_CLIENT_KEY="$TMP/agent.key"
says tls_ebb_speaks_http 'write https:// instead' ebb_with CONTROLLER_ADDRESS="http://${CONTROLLER_ADDRESS#https://}"

# New certificates: shown to who comes from now on, and nobody is dropped.
sessions=$(grep -c 'feeding controller' "$TMP/agent.log")
failures=$(metric ebb_agent_feed_failures_total)
cp "$TMP/renewed.pem" "$TMP/agent.now.pem" && cp "$TMP/renewed.key" "$TMP/agent.now.key"
same tls_before_the_signal "$(shown "$ADDRESS")" "$(serial agent)"
hup "$AGENT" "$TMP/agent.log"
same tls_agent_shows_the_new_one "$(shown "$ADDRESS")" "$(serial renewed)"
cp "$TMP/renewed.pem" "$TMP/controller.now.pem" && cp "$TMP/renewed.key" "$TMP/controller.now.key"
hup "$CONTROLLER" "$TMP/controller.log"
same tls_controller_shows_the_new_one "$(shown "${CONTROLLER_ADDRESS#https://}")" "$(serial renewed)"
check tls_feed_goes_on goes_on
same tls_orders_go_on "$(curl_controller /structure/container/c0 -X DELETE) $(subscribe 40) $(limit)" "200 200 40"

# Half of a pair: the old one stays.
cp "$TMP/person.key" "$TMP/agent.now.key"
hup "$AGENT" "$TMP/agent.log"
check tls_says_what_is_wrong grep -q "error --tls-key $TMP/agent.now.key is not the key of --tls-cert" "$TMP/agent.log"
same tls_keeps_the_old_pair "$(shown "$ADDRESS")" "$(serial renewed)"
chmod 644 "$TMP/controller.now.key"
hup "$CONTROLLER" "$TMP/controller.log"
check tls_refuses_an_open_key grep -q "run: chmod o-rwx $TMP/controller.now.key" "$TMP/controller.log"
cp "$TMP/renewed.key" "$TMP/agent.now.key" && chmod 600 "$TMP/controller.now.key"

# Another CA for clients, without a restart; the feed's own connection is kept.
cat "$TMP/ca.pem" "$TMP/stranger.pem" >"$TMP/both.pem" && mv "$TMP/ca.pem" "$TMP/first.pem" && mv "$TMP/both.pem" "$TMP/ca.pem"
hup "$AGENT" "$TMP/agent.log"
same tls_a_second_ca "$(get "https://$ADDRESS/heartbeat" $(as intruder))" 200
mv "$TMP/first.pem" "$TMP/ca.pem"
hup "$AGENT" "$TMP/agent.log"
same tls_and_without_it_again "$(get "https://$ADDRESS/heartbeat" $(as intruder))" 000
check tls_feed_still_goes_on goes_on
same tls_no_feed_was_lost "$(metric ebb_agent_feed_failures_total) $(grep -c 'feeding controller' "$TMP/agent.log")" "$failures $sessions"

# A name that it does not have.
cp "$TMP/elsewhere.pem" "$TMP/controller.now.pem" && cp "$TMP/elsewhere.key" "$TMP/controller.now.key"
hup "$CONTROLLER" "$TMP/controller.log"
says tls_ebb_meets_another_name 'is for other names' ebb_with EBB_X=
cp "$TMP/old.pem" "$TMP/controller.now.pem" && cp "$TMP/old.key" "$TMP/controller.now.key"
hup "$CONTROLLER" "$TMP/controller.log"
says tls_ebb_meets_an_expired_one 'has expired' ebb_with EBB_X=
check tls_controller_says_that_it_has_expired grep -q 'has expired: nobody will accept it' "$TMP/controller.log"
check tls_no_secret_in_the_logs sh -c "! grep -q -e $TOKEN -e 'PRIVATE KEY' '$TMP/agent.log' '$TMP/controller.log'"

exit $failed
