#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Documents lost, and limits in force that are not those of the state, over many kill -9 of controller, agent and
# database server while limits change: tests/e2e/kills.sh at length, about 4 s each.
#   tests/bench/bench_kills.sh [KILLS]
set -u
cd "$(dirname "$0")/../.." || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if tests/e2e/kills.sh "${1:-${EBB_BENCH_KILLS:-200}}" >"$log" 2>&1; then
	grep -E '^(seed|kills|skip)' "$log"
	exit 0
fi
cat "$log"
exit 1
