#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the machine of tests/vm: those tests that depend on the kernel or on its cgroup version. Every line of theirs is
# told, with its program's name, so that who runs this counts them.
#   tests/vm/guest.sh [few]     few: what a kernel can break most easily, in about a minute and a half
set -u
few=${1:-}
export EBB_TEST_LINES=1 EBB_TEST_TIMEOUT=420
integration=(parity sampler many_cpus lifecycle discovery discovery_live hierarchy limits apply shrink net tasks series subtree)
e2e=(loop_cpu loop_memory agent_lifecycle loop_random_kills reflex)
if [ -n "$few" ]; then
	integration=(parity lifecycle hierarchy limits apply shrink subtree)
	e2e=(loop_cpu)
fi

tests/run "${integration[@]/#/${BUILD:-build}/tests/integration/agent/test_}"
status=$?
# Emulated, each order takes as long as ten elsewhere.
EBB_TEST_STEPS=${EBB_TEST_STEPS:-1000} tests/run "${BUILD:-build}/tests/integration/agent/test_limits_random" || status=1
# The other kind of file cache lists; it can be switched at any time.
lists=/sys/kernel/mm/lru_gen/enabled
if [ -e $lists ] && [ -z "$few" ]; then
	if [ "$(<$lists)" = 0x0000 ]; then echo y; else echo n; fi >$lists
	echo "$lists: $(<$lists)"
	tests/run "${BUILD:-build}/tests/integration/agent/test_parity" || status=1
fi
e2e=("${e2e[@]/#/tests/e2e/}")
EBB_TEST_ROUNDS=3 tests/run "${e2e[@]/%/.sh}" || status=1
exit $status
