#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What tests/run and tests/check.bash tell of checks that fail: all that a record of the last lines needs.
. "$(dirname "$0")/../check.bash"
HERE=$(cd "$(dirname "$0")/.." && pwd)
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT

program() { # NAME, its text on stdin
	{ printf '#!/usr/bin/env bash\n. "%s/check.bash"\n' "$HERE" && cat; } >"$TMP/$1"
	chmod +x "$TMP/$1"
}
program good <<<'ok one; skip two "no such thing"'
program bad <<<'ok one; same numbers $((1 + 1)) 3; check command test 1 -eq 2; not_ok lines "$(printf "a\n b\n")"; not_ok bare; exit $failed'
program silent <<<'exit 0'
program dead <<<'ok one; echo the last word; kill -9 $BASHPID'

(cd "$TMP" && BUILD=$TMP/build "$HERE/run" ./good ./bad ./silent ./dead) >"$TMP/out" 2>&1
same failures_end_with_status_one $? 1
same failures_are_told_with_their_reason_at_the_end "$(tail -n 7 "$TMP/out")" "\
failed: ./bad: numbers # got '2', want '3'
failed: ./bad: command # failed: test 1 -eq 2
failed: ./bad: lines # a b
failed: ./bad: bare
failed: ./silent: (exit status 0)
failed: ./dead: (exit status 137) # last line: the last word
3 passed, 6 failed, 1 skipped"
(cd "$TMP" && BUILD=$TMP/build "$HERE/run" ./good) >"$TMP/out" 2>&1
same success_ends_with_status_zero $? 0
same success_tells_of_no_failure "$(grep -c failed: "$TMP/out") $(tail -n 1 "$TMP/out")" "0 1 passed, 0 failed, 1 skipped"
exit $failed
