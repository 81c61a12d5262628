# SPDX-License-Identifier: Apache-2.0
# For shell tests: what they report, as tests/run counts it. Ends with `exit $failed`.
failed=0

ok() { echo "ok $1"; }
not_ok() {
	echo "not ok $1"
	shift
	[ $# -gt 0 ] && printf '%s\n' "$*" >&2
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
# Polls a condition: the bound is for failures only.
wait_for() {
	local i
	for i in $(seq 500); do
		"$@" && return 0
		sleep 0.02
	done
	return 1
}
