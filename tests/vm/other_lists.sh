#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The samplers that read the kernel's own counters, under the other kind of file cache lists than it booted with. For
# tests/vm/guest.sh: the setting is the whole machine's. It can be switched at any time.
set -u
lists=/sys/kernel/mm/lru_gen/enabled
if [ ! -e $lists ]; then
	echo "skip other_lists # the kernel has one kind of file cache lists"
	exit 0
fi
if [ "$(<$lists)" = 0x0000 ]; then echo y; else echo n; fi >$lists || exit 1
echo "$lists: $(<$lists)"
status=0
for sampler in held walk; do
	"${BUILD:-build}/tests/integration/agent/test_parity" ${sampler}_sampler || status=1
done
exit $status
