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

# Unit tests: two that wait for each other, told in the order asked for.
mkdir -p "$TMP/build/tests/unit" "$TMP/e2e"
meet() { printf 'touch "%s/%s.here"; wait_for test -e "%s/%s.here" && ok met_%s' "$TMP" "$1" "$TMP" "$2" "$2"; }
program build/tests/unit/a <<<"$(meet a b); sleep 0.1"
program build/tests/unit/b <<<"$(meet b a)"
if [ "$(nproc)" -gt 1 ]; then
	(cd "$TMP" && BUILD=build "$HERE/run" build/tests/unit/{a,b} ./good) >"$TMP/out" 2>&1
	same unit_tests_run_side_by_side "$(sed 's/  *([0-9]* s)//; s/  */ /g; s/[0-9][0-9]* s\(,\|$\)/N s\1/g' "$TMP/out")" "\
unit/a 1 ok
unit/b 1 ok
./good 1 ok, 1 skipped
 skip two # no such thing
time: unit N s, . N s, total N s
3 passed, 0 failed, 1 skipped"
else
	skip unit_tests_run_side_by_side "one CPU"
fi

# Others say so; they come before what runs alone.
mkdir -p "$TMP/build/tests/integration/lib" "$TMP/tests/integration/lib"
program e2e/c.sh <<<"# By the way. Beside others."$'\n'"$(meet c d)"
echo '/* What it is. Beside others. */' >"$TMP/tests/integration/lib/d.c"
program build/tests/integration/lib/d <<<"$(meet d c)"
program e2e/alone.sh <<<"$(meet alone c)"
(cd "$TMP" && BUILD=build "$HERE/run" ./e2e/alone.sh ./good ./e2e/c.sh build/tests/integration/lib/d) >"$TMP/out" 2>&1
same those_that_say_so_run_side_by_side "$(sed -n 's/ *\([0-9]* ok\).*/ \1/p' "$TMP/out")" "\
./e2e/c.sh 1 ok
integration/lib/d 1 ok
./e2e/alone.sh 1 ok
./good 1 ok"
(cd "$TMP" && EBB_TEST_LINES=1 BUILD=build "$HERE/run" ./bad ./good) >"$TMP/out" 2>&1
same every_line_can_be_told_with_its_program "$(grep -c '^ok [a-z]*: one$' "$TMP/out") $(grep '^skip' "$TMP/out") $(grep -c '^not ok bad: ' "$TMP/out")" \
	"2 skip good: two # no such thing 4"
program e2e/long.sh <<<$'# At most 3 s.\nsleep 2; ok lasted'
program e2e/longer.sh <<<$'# At most 1 s.\nsleep 60; ok lasted'
(cd "$TMP" && EBB_TEST_TIMEOUT=1 BUILD=build "$HERE/run" ./e2e/long.sh ./e2e/longer.sh) >"$TMP/out" 2>&1
same scripts_say_how_long_they_may_take "$(tail -n 2 "$TMP/out")" "\
failed: ./e2e/longer.sh: (exit status 124)
1 passed, 1 failed, 0 skipped"
# Whoever stops it stops what it runs.
program sleeper <<<'echo $$ >"${0%/*}/pid"; while :; do sleep 1; done'
(cd "$TMP" && BUILD=build exec "$HERE/run" ./sleeper) >"$TMP/out" 2>&1 &
wait_for test -s "$TMP/pid"
kill %1
wait %1
same stopped_it_says_so $? 130
has_ended() { ! kill -0 "$(<"$TMP/pid")" 2>/dev/null; }
check stopped_it_leaves_nothing wait_for has_ended
exit $failed
