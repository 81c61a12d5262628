#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building, testing and the demo need, through apt or dnf.
#   packaging/deps.sh [--if-missing] [--no-tests]     --no-tests: not what only the tests need
#   packaging/deps.sh --packages                      what Debian packages are built and checked with
set -eu
PATH=$PATH:/usr/sbin:/sbin
if_missing='' tests=1
for arg; do
	case $arg in
	--if-missing) if_missing=1 ;;
	--no-tests) tests= ;;
	--packages)
		command -v dh >/dev/null && command -v lintian >/dev/null && command -v mandoc >/dev/null && exit 0
		DEBIAN_FRONTEND=noninteractive exec apt-get install -q -y --no-install-recommends dpkg-dev debhelper lintian mandoc
		;;
	*)
		echo "$0: unknown option $arg" >&2
		exit 2
		;;
	esac
done

# As the Makefile chooses: from 16 on clang emits the type tag of a held cgroup reference.
newest_clang() {
	local version
	for version in 22 21 20 19 18 17 16; do
		command -v "clang-$version" && return
	done
	command -v clang >/dev/null && [ "$(clang -dumpversion | cut -d. -f1)" -ge 16 ] && command -v clang
}

# Ubuntu's /usr/sbin/bpftool is a script that fails unless the tools of the running kernel are there.
working_bpftool() {
	bpftool version >/dev/null 2>&1 || ls /usr/lib/linux-tools/*/bpftool >/dev/null 2>&1
}

# The servers that the tests talk to run on node; sqlite3 reads and writes the state's file; ip makes
# networks; the rest runs tests on other kernels (tests/vm), which are Debian's, one of them under systemd:
# its package starts nothing that is not there already. Without them the tests that need them are skipped.
missing_for_tests() {
	local what=() machine=()
	! command -v apt-get >/dev/null || [ "$(uname -m)" != x86_64 ] ||
		machine=(qemu-system-x86_64 cpio depmod xz systemctl)
	for tool in node npm openssl sqlite3 ip "${machine[@]+"${machine[@]}"}"; do
		[ -z "$tests" ] || command -v "$tool" >/dev/null || what+=("$tool")
	done
	echo "${what[@]+"${what[@]}"}"
}

missing() {
	local what=()
	for tool in gcc make pkg-config cmp curl jq ps; do
		command -v "$tool" >/dev/null || what+=("$tool")
	done
	working_bpftool || what+=(bpftool)
	newest_clang >/dev/null || what+=(clang)
	for lib in libbpf libelf zlib libcurl jansson libmicrohttpd gnutls sqlite3 inih yaml-0.1 libcap libseccomp jemalloc; do
		pkg-config --exists "$lib" 2>/dev/null || what+=("$lib")
	done
	echo "${what[@]+"${what[@]}"}"
}

if [ -n "$if_missing" ]; then
	what="$(missing) $(missing_for_tests)"
	[ "$what" = " " ] && exit 0
	echo "missing: $what"
fi
if [ "$(id -u)" -ne 0 ]; then
	if [ -n "$if_missing" ] && [ -z "$(missing)" ]; then
		echo "going on without: some tests will be skipped" >&2
		exit 0
	fi
	echo "installing packages needs root: run 'sudo make deps' first" >&2
	exit 1
fi

# install_for_tests SQLITE IP COMMAND...: only what is missing, because a node from elsewhere brings its
# npm along and the distribution's would replace it. SQLITE and IP: what their packages are called; the
# machine's programs are only asked for where they are Debian's.
install_for_tests() {
	local packages sqlite=$1 ip=$2
	shift 2
	packages=$(missing_for_tests | sed "s/\\<node\\>/nodejs/; s/\\<sqlite3\\>/$sqlite/; s/\\<ip\\>/$ip/
		s/\\<qemu-system-x86_64\\>/qemu-system-x86/; s/\\<depmod\\>/kmod/; s/\\<xz\\>/xz-utils/; s/\\<systemctl\\>/systemd/")
	# shellcheck disable=SC2086 # two words are two packages
	[ -z "$packages" ] || "$@" $packages || echo "going on without: some tests will be skipped" >&2
}

if command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	# One broken third-party list shall not be the end.
	apt-get update -q || echo "some package lists are old; trying with those" >&2
	# The newest of the versioned compilers that this release has, or the plain one.
	clang=clang
	for version in 19 18 17 16; do
		if apt-cache show "clang-$version" >/dev/null 2>&1; then
			clang=clang-$version
			break
		fi
	done
	bpftool=bpftool
	apt-cache show bpftool >/dev/null 2>&1 || bpftool="linux-tools-common linux-tools-generic"
	# shellcheck disable=SC2086 # two words are two packages
	apt-get install -q -y --no-install-recommends gcc make pkg-config libc6-dev linux-libc-dev \
		"$clang" $bpftool libbpf-dev libelf-dev zlib1g-dev libcurl4-openssl-dev libjansson-dev \
		libmicrohttpd-dev libgnutls28-dev libsqlite3-dev libinih-dev libyaml-dev libcap-dev \
		libseccomp-dev libjemalloc-dev diffutils curl jq procps
	install_for_tests sqlite3 iproute2 apt-get install -q -y --no-install-recommends
elif command -v dnf >/dev/null; then
	dnf install -y gcc make pkgconf-pkg-config clang bpftool libbpf-devel elfutils-libelf-devel \
		zlib-devel libcurl-devel jansson-devel libmicrohttpd-devel gnutls-devel sqlite-devel inih-devel libyaml-devel \
		libcap-devel libseccomp-devel jemalloc-devel libasan \
		libubsan diffutils curl jq procps-ng
	install_for_tests sqlite 'iproute iproute-tc' dnf install -y
else
	echo "neither apt-get nor dnf here; install by hand: $(missing)" >&2
	exit 1
fi

what=$(missing)
if [ -n "$what" ]; then
	echo "still missing after the installation: $what" >&2
	exit 1
fi
