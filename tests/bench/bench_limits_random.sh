#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A million random orders on containers under load (tests/integration/agent/test_limits_random.c), about 4 minutes:
# fails when one turn of the loop took over 50 ms, not counting the time that others had the CPU.
#   tests/bench/bench_limits_random.sh [STEPS]
set -u
cd "$(dirname "$0")/../.." || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
EBB_TEST_STEPS=${1:-1000000} "${BUILD:-build}/tests/integration/agent/test_limits_random" >"$log" 2>&1
status=$?
cat "$log"
[ $status -eq 0 ] || exit $status
if grep -q '^skip ' "$log"; then exit 0; fi
own=$(sed -n 's/^# longest turn .* CPU, \([0-9.]*\) ms without waiting for a CPU$/\1/p' "$log")
if ! awk -v own="${own:-none}" 'BEGIN { exit !(own + 0 == own && own <= 50) }'; then
	echo "a turn of the loop took ${own:-an unknown number of} ms, more than 50" >&2
	exit 1
fi
