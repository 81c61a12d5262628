#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The API of the real controller process: nonsense in bulk, tokens, many clients, a kill and a restart. Beside others.
. "$(dirname "$0")/controller.bash"

# Every document there is, but for the heartbeats of the services.
everything() {
	local path
	for path in /structure/ /rule/ /service/ /structure/c0/limits /structure/c1/limits; do
		ctl GET "$path" >/dev/null
		jq -cS 'if type == "array" then map(del(.heartbeat, .heartbeat_human)) | sort_by(.name) else . end' "$TMP/body"
	done
}

if ! start_controller; then
	not_ok controller_starts
	finish
fi
same registers "$(register)" 200
ctl PUT /structure/c0/resources/cpu/min '{"value":50}' >/dev/null

# --- nonsense: made of parts that fit and parts that do not; a call that happens to be right is left out
seed=${EBB_TEST_SEED:-1}
[ "$seed" = random ] && seed=$RANDOM
RANDOM=$seed
echo "# seed $seed"
pick() {
	shift $((RANDOM % $#))
	printf '%s' "$1"
}
nonsense_path() {
	case $((RANDOM % 5)) in
	0) echo "/structure/$(pick c0 c1 nobody h0 %ff a%2fb '' ..)/resources/$(pick cpu mem gpu '' energy)/$(pick max min weight current '')" ;;
	1) echo "/structure/$(pick c0 nobody h0)/limits/$(pick cpu gpu)/$(pick boundary boundary_type nothing)" ;;
	2) echo "/rule/$(pick CpuRescaleUp cpu_exceeded_upper nothing)/$(pick amount policy events_required nothing)" ;;
	3) echo "/service/$(pick guardian/WINDOW_TIMELAPSE guardian/ACTIVE scaler/POLLING_FREQUENCY scaler/lower nothing/ACTIVE)" ;;
	4) echo "/structure/$(pick c0 h0 nobody)/resources/$(pick guard unguard dance)" ;;
	esac
}
nonsense_body() {
	pick '' '{' '[]' '7' '"x"' '{}' '{"value":-1}' '{"value":"x"}' '{"value":null}' '{"value":[[1]]}' '{"value":{"a":1}}' \
		'{"value":1e400}' '{"value":NaN}' '{"value":"1e999"}' '{"resources":"cpu"}' '{"resources":["gpu"]}' '{"resources":[7]}' \
		'{"value":99999999999}' $'{"value":"\xff"}' '{"event_type":"sideways","value":"one"}' '{"value":""}' '{"value":1,"value":2}'
}
before=$(everything)
bad=''
for ((n = 0; n < 300; n++)); do
	path=$(nonsense_path)
	body=$(nonsense_body)
	status=$(curl -s --path-as-is -o "$TMP/body" -w '%{http_code}' -X PUT --data-binary "$body" "$CONTROLLER_ADDRESS$path")
	case $status in
	4??) jq -e '.error and .message' "$TMP/body" >/dev/null 2>&1 || bad+="no message: $path $body; " ;;
	*) bad+="$status: $path $body; " ;;
	esac
done
same nonsense_is_refused "$bad" ""
same nonsense_changes_nothing "$(everything | md5sum)" "$(md5sum <<<"$before")"
same still_alive "$(ctl GET /heartbeat) $(body .status)" "200 alive"

# --- the wrong method, a large body
same wrong_method "$(ctl DELETE /structure/c0)" 405
head -c 100000000 /dev/zero | tr '\0' ' ' >"$TMP/large"
same large_body "$(curl -s -o "$TMP/body" -w '%{http_code}' -H 'Expect:' -X PUT --data-binary "@$TMP/large" "$CONTROLLER_ADDRESS/structure/c0/resources/cpu/max" || true)" 413
rm -f "$TMP/large"
same large_body_changes_nothing "$(everything | md5sum)" "$(md5sum <<<"$before")"

# --- many clients at once, each with a container parameter of its own
clients=()
for n in 1 2 3 4; do
	(for v in $(seq 100 120); do
		curl -s -o /dev/null -X PUT --data-binary "{\"value\":$((v + n))}" \
			"$CONTROLLER_ADDRESS/structure/c$((n % 2))/resources/$(pick cpu mem)/max"
	done) &
	clients+=($!)
done
wait "${clients[@]}"
same many_clients "$(ctl GET /structure/c0) $(body '.resources.cpu.max >= .resources.cpu.min')" "200 true"

# --- killed at any moment: at most the last 100 ms are lost, and nothing is broken
ctl PUT /structure/c0/guard >/dev/null
ctl PUT /structure/c1/limits/mem/boundary '{"value":17}' >/dev/null
ctl PUT /service/guardian/EVENT_TIMEOUT '{"value":77}' >/dev/null
ctl PUT /rule/CpuRescaleDown/deactivate >/dev/null
sleep 1
ctl GET /structure/c0 >/dev/null
guard=$(body '[.guard, .resources.cpu.min, .resources.cpu.max, .resources.mem.max]|tojson')
stop_controller KILL
if start_controller; then
	same restart_keeps_structures "$(ctl GET /structure/c0) $(body '[.guard, .resources.cpu.min, .resources.cpu.max, .resources.mem.max]|tojson')" "200 $guard"
	same restart_keeps_limits "$(ctl GET /structure/c1/limits/mem/) $(body .boundary)" "200 17"
	same restart_keeps_services "$(ctl GET /service/guardian) $(body .config.EVENT_TIMEOUT)" "200 77"
	same restart_keeps_rules "$(ctl GET /rule/CpuRescaleDown) $(body .active)" "200 false"
else
	not_ok controller_restarts
fi
stop_controller
same clean_stop $? 0

# --- with a token: changes want it, reads and the heartbeat do not
umask 077
echo "a-token-of-more-than-16-characters" >"$TMP/token"
if start_controller --token-file "$TMP/token"; then
	same heartbeat_without_token "$(ctl GET /heartbeat)" 200
	same change_without_token "$(ctl PUT /structure/c0/unguard) $(ctl GET /structure/c0) $(body .guard)" "401 200 true"
	same feed_without_token "$(register)" 401
	TOKEN=a-token-of-more-than-16-characterz
	same change_with_wrong_token "$(ctl PUT /structure/c0/unguard)" 401
	TOKEN=a-token-of-more-than-16-characters
	same change_with_token "$(ctl PUT /structure/c0/unguard) $(body .guard)" "200 false"
	check token_is_not_logged bash -c '! grep -q more-than-16 "$1"' _ "$TMP/controller.log"
else
	not_ok controller_starts_with_a_token
fi
same beyond_loopback_wants_a_token "$(timeout 10 "$BUILD/ebb-controller" --listen 0.0.0.0:0 --state "sqlite:$TMP/other.db" 2>&1 | grep -c -- --token-file)" 1
finish
