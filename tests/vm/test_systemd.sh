#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What systemd.sh tells, run under systemd; one line to skip where that cannot be had.
# EBB_VM_ALL=1 (make vmtest): all of it; else what make check has the time for. EBB_VM_KERNEL: 6.1 or 6.12.
# At most 600 s.
set -u
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-build}
tmp=$(mktemp -d) && trap 'rm -rf "$tmp" "$BUILD/installed.$$.tar"' EXIT
cd "$here/../.." || exit 1
if grep -q '__[at]san_init' "$BUILD/ebb-agent"; then
	echo "skip systemd # a sanitizer needs more memory and other system calls than the units leave: run it with another BUILD"
	exit 0
fi
# All of the host's root is seen in there, but for /tmp.
if ! make -s install-built BUILD="$BUILD" DESTDIR="$tmp/root" prefix=/usr sysconfdir=/etc >"$tmp/said" 2>&1 ||
	! tar -c -C "$tmp/root" -f "$BUILD/installed.$$.tar" .; then
	echo "not ok systemd_installs # $(tail -n 3 "$tmp/said" | tr -s '[:space:]' ' ')"
	exit 1
fi
few=few
[ -z "${EBB_VM_ALL:-}" ] || few=''
# shellcheck disable=SC2086 # nothing, or one word
"$here/run" --init systemd --kernel "${EBB_VM_KERNEL:-6.12}" --timeout 500 -- tests/vm/systemd.sh "$BUILD/installed.$$.tar" $few 2> >(tee "$tmp/said" >&2)
status=$?
if [ $status -eq 123 ]; then
	echo "skip systemd # $(sed 's/^[^:]*: //; q' "$tmp/said")"
	exit 0
fi
if [ $status -eq 124 ] || [ $status -eq 125 ]; then
	echo "not ok systemd # $(head -n 3 "$tmp/said" | tr -s '[:space:]' ' ')"
fi
exit $status
