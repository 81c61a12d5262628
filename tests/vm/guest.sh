#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the machine of tests/vm: those tests that depend on the kernel or on its cgroup version. Every line of theirs is
# told, with its program's name, so that who runs this counts them.
#   tests/vm/guest.sh [programs | scripts | few]     one half or the other (both); few: what a kernel can break most
#                                                    easily, in about a minute
set -u
export EBB_TEST_LINES=1 EBB_TEST_TIMEOUT=900
programs=(parity many_cpus sampler tasks series shrink net apply discovery_live lifecycle discovery limits subtree
	hierarchy limits_random)
scripts=(reflex loop_random_kills agent_lifecycle loop_cpu loop_memory)
lists=(tests/vm/other_lists.sh)
case ${1:-} in
programs) scripts=() ;;
scripts) programs=() lists=() ;;
few)
	programs=(parity apply shrink limits lifecycle subtree hierarchy limits_random)
	scripts=(loop_cpu) lists=()
	;;
esac
programs=("${programs[@]/#/${BUILD:-build}/tests/integration/agent/test_}")
scripts=("${scripts[@]/#/tests/e2e/}")
scripts=("${scripts[@]/%/.sh}")
# Emulated, each order takes as long as ten elsewhere.
export EBB_TEST_STEPS=${EBB_TEST_STEPS:-1000} EBB_TEST_ROUNDS=2

# What comes with the first cgroup that has a cpuset, or a quota, and goes with the last, is switched by rewriting the
# kernel's code, which costs an emulator what it has made of it: one stays.
keep=/sys/fs/cgroup/ebb-test-keep
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || { mkdir $keep && echo '50000 100000' >$keep/cpu.max; }

status=0
run() { [ $# -eq 0 ] || tests/run "$@" || status=1; }
run "${programs[@]}"
run "${scripts[@]}"
run "${lists[@]}"
exit $status
