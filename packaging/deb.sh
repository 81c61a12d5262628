#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Debian packages out of a clean copy of the tree: packaging/deb.sh OUTPUT-DIRECTORY [DPKG-OPTION...]
# With EBB_PREBUILT=DIRECTORY the programs are taken from there.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v dh >/dev/null || ! command -v dpkg-buildpackage >/dev/null; then
	echo "building the packages needs debhelper and dpkg-dev: sudo packaging/deps.sh --packages" >&2
	exit 1
fi
mkdir -p "$1"
output=$(realpath "$1")
shift
[ -z "${EBB_PREBUILT:-}" ] || EBB_PREBUILT=$(realpath "$EBB_PREBUILT")
export EBB_PREBUILT=${EBB_PREBUILT:-}

rm -rf "$output/source"
mkdir "$output/source"
# What git knows, as it is here; without git all but what was built.
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' - |
		tar -c --null -T - | tar -x -C "$output/source"
else
	tar -c --exclude='./build*' . | tar -x -C "$output/source"
fi
cp -r packaging/debian "$output/source/debian"
cd "$output/source"
# What make passes down is for the tree that it was started in.
unset MAKEFLAGS MFLAGS MAKELEVEL BUILD CFLAGS
DEB_BUILD_OPTIONS="nocheck parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}" dpkg-buildpackage -us -uc "$@"
cd ..
rm -rf source
