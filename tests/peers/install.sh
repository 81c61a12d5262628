#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Gets the servers that the tests talk to, where they are not there yet: pouchdb-server from npm,
# VictoriaMetrics and InfluxDB out of Debian's packages; and container engines with all that they need
# and this machine lacks, merged into one tree. They are unpacked, not installed; nothing is started.
# What cannot be had leaves its reason in NAME.missing, and the tests that need it are skipped.
#   tests/peers/install.sh        EBB_PEERS_CACHE: the directory, for several trees that share one
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EBB_PEERS_CACHE:-$here/../../build-peers}
mkdir -p "$cache" && cache=$(cd "$cache" && pwd) || exit 1

exec 9>"$cache/lock"
if ! flock -n 9; then
	echo "waiting for another $0" >&2
	flock 9
fi

# missing NAME REASON
missing() {
	printf '%s\n' "$2" | head -n 1 >"$cache/$1.missing"
	echo "peers: no $1: $(cat "$cache/$1.missing")" >&2
}

has_couchdb() {
	# npm writes its own lock file last.
	[ -e "$cache/node_modules/.package-lock.json" ] &&
		grep -q '"version": "4.2.0"' "$cache/node_modules/pouchdb-server/package.json" 2>/dev/null
}
install_couchdb() {
	local log=$cache/couchdb.log
	if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
		missing couchdb "node and npm are not installed"
		return
	fi
	echo "peers: installing pouchdb-server 4.2.0 from npm into $cache" >&2
	cp "$here/package.json" "$here/package-lock.json" "$cache/"
	# Scripts only build or fetch what is not used here: LevelDB comes built.
	if (cd "$cache" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >"$log" 2>&1 && has_couchdb; then
		rm -f "$cache/couchdb.missing" "$log"
	else
		missing couchdb "npm ci failed: $(grep -m 1 -i error "$log") (all of it: $log)"
	fi
}

# install_package NAME PACKAGE PROGRAM: unpacks a Debian package.
install_package() {
	local name=$1 package=$2 program=$3 tmp log=$cache/$1.log deb
	[ -x "$cache/$name/$program" ] && return
	if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
		missing "$name" "only Debian's package $package is known here, and there is no apt-get"
		return
	fi
	tmp=$(mktemp -d "$cache/.$name.XXXXXX") || return
	deb=$(find "$cache" -maxdepth 1 -name "${package}_*.deb" | head -n 1)
	if [ -n "$deb" ]; then
		cp "$deb" "$tmp/"
	else
		echo "peers: downloading Debian's $package into $cache" >&2
		if ! download "$tmp" "$package" >"$log" 2>&1; then
			missing "$name" "apt-get download $package: $(grep -m 1 '^E:' "$log")"
			rm -rf "$tmp"
			return
		fi
	fi
	rm -rf "${cache:?}/$name"
	if dpkg-deb -x "$tmp/$package"_*.deb "$tmp/root" 2>"$log" && [ -x "$tmp/root/$program" ] &&
		mv "$tmp/root" "$cache/$name"; then
		rm -f "$cache/$name.missing" "$log"
	else
		missing "$name" "the package $package could not be unpacked: $(head -n 1 "$log")"
	fi
	rm -rf "$tmp"
}
# download DIR PACKAGE... Once more with fresh lists: old ones name versions that are gone.
download() {
	local dir=$1
	shift
	(cd "$dir" && apt-get download -q "$@") && return
	[ "$(id -u)" -eq 0 ] && apt-get update -q && (cd "$dir" && apt-get download -q "$@")
}

# lacking PACKAGE...: what installing them would bring here, one package a line.
lacking() {
	apt-get -s -q install --no-install-recommends "$@" | sed -n 's/^Inst \([^ ]*\) .*/\1/p'
	return "${PIPESTATUS[0]}"
}
engine_packages() {
	case $1 in
	podman) echo podman runc conmon ;;
	lxd) echo lxd lxd-client ;;
	nspawn) echo systemd-container ;;
	*) echo "$1" ;;
	esac
	echo busybox-static # is what the containers run
}
# unpack_engines NAME...: they and what they need, by way of $tmp into $cache/engines; $log is for apt.
# All or none; says why none.
unpack_engines() {
	local name wanted="" packages package new=() dir tree=$cache/engines
	if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
		echo "only Debian's packages are known here, and there is no apt-get"
		return 1
	fi
	for name; do wanted+=" $(engine_packages "$name")"; done
	# shellcheck disable=SC2086 # two words are two packages
	if ! packages=$(lacking $wanted 2>"$log") &&
		! { [ "$(id -u)" -eq 0 ] && apt-get update -q >>"$log" 2>&1 && packages=$(lacking $wanted 2>"$log"); }; then
		echo "apt-get: $(grep -m 1 '^E:' "$log")"
		return 1
	fi
	for package in $packages; do
		[ -e "$tree/.got/$package" ] || new+=("$package")
	done
	if [ ${#new[@]} -gt 0 ] && ! download "$tmp" "${new[@]}" >"$log" 2>&1; then
		echo "apt-get download: $(grep -m 1 '^E:' "$log")"
		return 1
	fi
	for package in "$tmp"/*.deb; do
		[ -e "$package" ] || break
		if ! dpkg-deb -x "$package" "$tmp/root" 2>"$log"; then
			echo "${package##*/} could not be unpacked: $(head -n 1 "$log")"
			return 1
		fi
	done
	# Laid over a merged /usr: /lib and /usr/lib become one directory.
	mkdir -p "$tree/usr" "$tree/etc" "$tree/.got"
	for dir in bin sbin lib lib64; do
		[ -d "$tmp/root/$dir" ] && mkdir -p "$tree/usr/$dir" && cp -alf "$tmp/root/$dir/." "$tree/usr/$dir/"
	done
	for dir in usr etc; do
		[ -d "$tmp/root/$dir" ] && cp -alf "$tmp/root/$dir/." "$tree/$dir/"
	done
	for package in "${new[@]+"${new[@]}"}"; do : >"$tree/.got/$package"; done
	for name; do
		rm -f "$cache/$name.missing"
		: >"$tree/$name.unpacked"
	done
}
install_engines() {
	local engine wanted=() tmp log=$cache/engines.log why
	for engine; do
		[ -e "$cache/engines/$engine.unpacked" ] || wanted+=("$engine")
	done
	[ ${#wanted[@]} -eq 0 ] && return
	echo "peers: downloading ${wanted[*]} into $cache" >&2
	tmp=$(mktemp -d "$cache/.engines.XXXXXX") || return
	if ! why=$(unpack_engines "${wanted[@]}"); then
		# Which of them is the trouble?
		for engine in "${wanted[@]}"; do
			rm -rf "${tmp:?}"/*
			why=$(unpack_engines "$engine") || missing "$engine" "$why"
		done
	fi
	rm -rf "$tmp" "$log"
}

has_couchdb || install_couchdb
install_package victoria victoria-metrics usr/bin/victoria-metrics
install_package influx influxdb usr/bin/influxd
install_engines runc crun podman lxc lxd nspawn
exit 0
