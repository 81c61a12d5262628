#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Gets what tests/vm/run boots, where it is not there yet: Debian's kernels, and the QEMU of backports for
# those that the one of bookworm cannot run. apt fetches and verifies them with a configuration of its
# own; they are unpacked, not installed. What cannot be had leaves its reason in NAME.missing.
#   tests/vm/install.sh [KERNEL...]   6.1, 6.12 (both)    EBB_PEERS_CACHE: the directory, as for tests/peers
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EBB_PEERS_CACHE:-$here/../../build-peers}/vm
mkdir -p "$cache" && cache=$(cd "$cache" && pwd) || exit 1
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=http://deb.debian.org
# Changes when what is kept of a package does.
layout=1

exec 9>"$cache/lock"
if ! flock -n 9; then
	echo "waiting for another $0" >&2
	flock 9
fi
tmp=$(mktemp -d "$cache/.tmp.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT

# missing NAME REASON: 1, for the caller to end with.
missing() {
	printf '%s\n' "$2" | head -n 1 >"$cache/$1.missing"
	echo "vm: no $1: $(cat "$cache/$1.missing")" >&2
	return 1
}

# private_apt COMMAND...: apt-get or apt-cache with lists and sources of its own; the machine's are not looked at.
private_apt() {
	local command=$1
	shift
	"$command" -q -o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$cache/apt/lists" -o Dir::Cache="$cache/apt/cache" \
		-o Acquire::Languages=none -o Acquire::Retries=2 -o Debug::NoLocking=1 -o APT::Sandbox::User=root "$@"
}
# Once a run, and only when something is fetched: old lists name versions that are gone.
updated=
update() {
	local suite
	[ -z "$updated" ] || return "$updated"
	updated=1
	mkdir -p "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
	for suite in "debian bookworm" "debian-security bookworm-security" "debian bookworm-backports"; do
		echo "deb [arch=amd64 signed-by=$keyring] $mirror/$suite main"
	done >"$cache/apt/sources.list"
	private_apt apt-get -o APT::Update::Error-Mode=any update >"$tmp/log" 2>&1 && updated=0
	return "$updated"
}

# able NAME: whether packages can be fetched and unpacked here at all.
able() {
	local tool
	if [ "$(uname -m)" != x86_64 ]; then
		missing "$1" "only kernels for x86_64 are known, and this is $(uname -m)"
		return
	fi
	for tool in apt-get dpkg-deb depmod xz cpio; do
		command -v "$tool" >/dev/null && continue
		missing "$1" "$tool is not installed"
		return
	done
	if [ ! -e "$keyring" ]; then
		missing "$1" "no $keyring to verify Debian's packages with"
		return
	fi
	update || missing "$1" "apt-get update: $(grep -m 1 '^E:' "$tmp/log")"
}

# unpack NAME PACKAGE DIR SUITE
unpack() {
	local deb
	rm -rf "$tmp/debs" && mkdir -p "$tmp/debs" "$3"
	if ! (cd "$tmp/debs" && private_apt apt-get ${4:+-t "$4"} download "$2") >"$tmp/log" 2>&1; then
		missing "$1" "apt-get download $2: $(grep -m 1 '^E:' "$tmp/log")"
		return
	fi
	for deb in "$tmp/debs"/*.deb; do
		dpkg-deb -x "$deb" "$3" 2>"$tmp/log" && continue
		missing "$1" "$2 could not be unpacked: $(head -n 1 "$tmp/log")"
		return
	done
}

# What of a kernel's modules is kept: a tenth of them.
kept="arch block crypto fs lib mm net drivers/block drivers/char drivers/net drivers/virtio drivers/scsi"

# install_kernel VERSION SUITE: its vmlinuz, modules and initramfs in $cache/VERSION.
install_kernel() {
	local name=$1 suite=$2 package release root=$tmp/$1 out=$tmp/out-$1 dir modules
	# Once there was a checksum behind it.
	[ "$(cut -d' ' -f1 "$cache/$name/layout" 2>/dev/null)" = "$layout" ] && return
	able "$name" || return
	# Without a suite: bookworm's newest, its security updates among them.
	package=$(private_apt apt-cache ${suite:+-t "$suite"} --no-all-versions show linux-image-amd64 2>/dev/null |
		sed -n 's/^Depends: \(linux-image-[0-9][^ ,]*\).*/\1/p')
	case $package in
	linux-image-"$name".*) ;;
	*)
		missing "$name" "${suite:-bookworm} has no kernel $name but '$package'"
		return
		;;
	esac
	echo "vm: downloading Debian's $package into $cache" >&2
	unpack "$name" "$package" "$root" "$suite" || return
	unpack "$name" busybox-static "$tmp/busybox" "" || return
	modules=$root/lib/modules
	[ -d "$modules" ] || modules=$root/usr/lib/modules
	release=$(ls "$modules")
	mkdir -p "$out/lib/modules/$release"
	cp "$root/boot/vmlinuz-$release" "$out/vmlinuz"
	cp "$root/boot/config-$release" "$out/config"
	cp "$modules/$release/"modules.{order,builtin}* "$out/lib/modules/$release/"
	for dir in $kept; do
		[ -d "$modules/$release/kernel/$dir" ] || continue
		mkdir -p "$out/lib/modules/$release/kernel/$(dirname "$dir")"
		mv "$modules/$release/kernel/$dir" "$out/lib/modules/$release/kernel/$dir"
	done
	# Newer packages hold them packed, which neither busybox nor every kmod reads.
	find "$out/lib/modules" -name '*.ko.xz' -exec xz -d {} +
	# It names what was left out.
	depmod -b "$out" "$release" 2>"$tmp/log" || true
	if ! initramfs "$out" "$release"; then
		missing "$name" "no initramfs for $package: $(head -n 1 "$tmp/log")"
		return
	fi
	echo "$layout" >"$out/layout"
	rm -rf "${cache:?}/$name" "$root"
	mv "$out" "$cache/$name" && rm -f "$cache/$name.missing"
}
# initramfs DIR RELEASE: busybox, and what mounts the host's root; tests/vm/run adds init.
initramfs() {
	local dir=$1 release=$2 root=$tmp/initramfs module file
	rm -rf "$root" && mkdir -p "$root"/{bin,modules,proc,sys,dev,host,upper,root}
	cp "$tmp/busybox/bin/busybox" "$root/bin/busybox" || return
	# In the order in which they can be loaded.
	for module in virtio_pci virtio_blk 9pnet_virtio 9p overlay ext4; do
		while IFS= read -r file; do
			grep -qx "${file##*/}" "$root/modules/order" 2>/dev/null && continue
			cp "$file" "$root/modules/" && echo "${file##*/}" >>"$root/modules/order"
		done < <(modprobe -d "$dir" -S "$release" --show-depends "$module" 2>"$tmp/log" | sed -n 's/^insmod \([^ ]*\).*/\1/p')
	done
	[ -s "$root/modules/order" ] || return
	(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$dir/initramfs"
}

# The QEMU of backports: bookworm's own has faults that kernel 6.12 runs into at boot.
install_qemu() {
	local version
	[ -x "$cache/qemu/usr/bin/qemu-system-x86_64" ] && return
	version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p')
	[ "${version:-0}" -ge 10 ] && return
	able qemu || return
	echo "vm: downloading QEMU from bookworm-backports into $cache" >&2
	rm -rf "$cache/apt/cache/archives" && mkdir -p "$cache/apt/cache/archives/partial" "$tmp/qemu"
	if ! private_apt apt-get -y --no-install-recommends --download-only -t bookworm-backports install \
		qemu-system-x86 >"$tmp/log" 2>&1; then
		missing qemu "apt-get install --download-only qemu-system-x86: $(grep -m 1 '^E:' "$tmp/log")"
		return
	fi
	find "$cache/apt/cache/archives" -name '*.deb' -exec dpkg-deb -x {} "$tmp/qemu" \; 2>"$tmp/log"
	rm -rf "$cache/apt/cache/archives"
	# Not the device trees and firmware of other machines, nor manuals.
	rm -rf "$tmp/qemu/usr/share/doc" "$tmp/qemu/usr/share/man"
	if ! "$here/qemu" "$tmp/qemu" --version >"$tmp/log" 2>&1; then
		missing qemu "the QEMU of backports does not start here: $(head -n 1 "$tmp/log")"
		return
	fi
	rm -rf "$cache/qemu"
	mv "$tmp/qemu" "$cache/qemu" && rm -f "$cache/qemu.missing"
}

for kernel in "${@:-6.1 6.12}"; do
	for name in $kernel; do
		case $name in
		6.1) install_kernel 6.1 "" ;;
		6.12) install_qemu && install_kernel 6.12 bookworm-backports ;;
		*) echo "$0: no kernel $name, but 6.1 and 6.12" >&2 ;;
		esac
	done
done
exit 0
