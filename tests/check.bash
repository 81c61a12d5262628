# SPDX-License-Identifier: Apache-2.0
# For shell tests: what they report, as tests/run counts it. Ends with `exit $failed`.
failed=0

ok() { echo "ok $1"; }
# not_ok NAME [WHY...]: one line, so that tests/run can repeat it at its end.
not_ok() {
	local name=$1 why
	shift
	why=$(tr -s '[:space:]' ' ' <<<"$*")
	why=${why% }
	if [ -n "$why" ]; then echo "not ok $name # ${why:0:1000}"; else echo "not ok $name"; fi
	failed=1
}
skip() { echo "skip $1 # $2"; }
# check NAME COMMAND...: ok when the command succeeds.
check() {
	local name=$1
	shift
	if "$@"; then ok "$name"; else not_ok "$name" "failed: $*"; fi
}
# same NAME GOT WANT
same() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', want '$3'"; fi
}
# Polls a condition: the bound is for failures only, and far from what a slow machine needs. After the first
# tries less often: a check by curl and jq costs 20 ms of CPU, ten times that in an emulated machine, which what is
# waited for may lack.
wait_for() {
	local end=$((SECONDS + 40)) tries=0 pause=0.1
	[ -z "${EBB_TEST_EMULATED:-}" ] || tries=18 pause=0.4
	while ! "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		[ $((tries++)) -lt 20 ] && sleep 0.02 || sleep "$pause"
	done
}
