# SPDX-License-Identifier: Apache-2.0
# For shell tests with the real controller: one with a state and a port of its own, ebb talking to
# it, and an agent when the test wants one (agent.bash, which this sources).
# shellcheck source=tests/e2e/agent.bash
. "$(dirname "${BASH_SOURCE[0]}")/agent.bash"
unset EBB_CONTROLLER EBB_AGENT EBB_TOKEN_FILE
export LC_ALL=C.UTF-8 TZ=UTC
CONTROLLER=
CONTROLLER_ADDRESS=

controller_up() { grep -q ' listen[a-z]* on ' "$TMP/controller.log"; }
controller_up_or_dead() { controller_up || ! kill -0 "$CONTROLLER" 2>/dev/null; }
# start_controller OPTION...: sets CONTROLLER and CONTROLLER_ADDRESS.
start_controller() {
	: >"$TMP/controller.log"
	"$BUILD/ebb-controller" --listen 127.0.0.1:0 --state "sqlite:$TMP/state.db" \
		--audit "$TMP/audit.jsonl" "$@" >>"$TMP/controller.log" 2>&1 &
	CONTROLLER=$!
	wait_for controller_up_or_dead
	if ! controller_up; then
		cat "$TMP/controller.log" >&2
		return 1
	fi
	CONTROLLER_ADDRESS=http://$(sed -n 's/.* listen[a-z]* on \([0-9.:]*\).*/\1/p' "$TMP/controller.log" | head -n 1)
}
# Returns the controller's exit status.
stop_controller() {
	local status
	kill "-${1:-TERM}" "$CONTROLLER"
	wait "$CONTROLLER" 2>/dev/null
	status=$?
	CONTROLLER=
	return $status
}

# ctl METHOD PATH [BODY]: prints the status; the body is in $TMP/body.
ctl() {
	local args=(-s -o "$TMP/body" -w '%{http_code}' -X "$1")
	[ -n "$TOKEN" ] && args+=(-H "Authorization: Bearer $TOKEN")
	[ $# -gt 2 ] && args+=(--data-binary "$3")
	curl "${args[@]}" "$CONTROLLER_ADDRESS$2"
}
# ebb VERB...: output in $TMP/out and $TMP/err; prints the exit status.
ebb() {
	timeout 30 "$BUILD/ebb" --controller "$CONTROLLER_ADDRESS" "$@" >"$TMP/out" 2>"$TMP/err" </dev/null
	echo $?
}
out() { cat "$TMP/out"; }
err() { cat "$TMP/err"; }

# A host h0 with containers c0 (limited) and c1 (not), as an agent would register it, whose API is a
# port that nobody listens on.
register() {
	ctl POST /feed '{"host":"h0","session":"s1","seq":1,"guard_version":0,"now":5000000000,"register":{
		"version":"0","address":"http://127.0.0.1:1","period_ms":100,"cpus":[0,1,2,3],
		"mem":8589934592,"topology":{"0":{"0":[0],"1":[1],"2":[2],"3":[3]}},
		"disk":{"path":"/","device":""},"kernel":"6","cgroup":"v1","sampler":"files"},
		"added":[{"c":1,"name":"c0","engine":"cgroup","path":"x/c0",
		"limits":{"cpu":200,"cpus":"0-3","mem":512}},{"c":2,"name":"c1","engine":"cgroup",
		"path":"x/c1","limits":{"cpu":-1,"cpus":"0-3","mem":-1}}],"samples":[]}'
}

end_of_controller_test() {
	[ -n "$CONTROLLER" ] && kill -9 "$CONTROLLER" 2>/dev/null && wait "$CONTROLLER" 2>/dev/null
	cleanup
}
trap end_of_controller_test EXIT
