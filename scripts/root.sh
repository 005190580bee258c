#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# ARCH=arm64 root.sh: a root file system for the guest of another machine than
# this one, and what is needed to build programs for it: Debian's packages of
# that machine, unpacked and not configured. Its path is the last line of stdout.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/apt.sh"

# virtme-ng's init, vm.py and the tests' scripts run these.
GUEST=(base-passwd bash coreutils dash findutils grep hostname iproute2 kmod mawk mount perl-base procps sed
	util-linux)
# Loaders of BPF programs are built with these.
SYSROOT=(libc6-dev libelf-dev libzstd-dev zlib1g-dev)

fetch() {
	local libgcc
	need_disk "$CACHE" 1000 "a root file system of $ARCH"
	rm -rf "$apt" "$root.part"
	say "root: looking for the packages of $ARCH"
	own_lists "root: reading the package lists" "${CODENAME:-trixie}" 'use ARCH=x86_64' "$ARCH"
	: >"$apt/status"
	libgcc=$(apt-cache -c="$apt/apt.conf" pkgnames libgcc- | grep -E '^libgcc-[0-9]+-dev$' | sort -V | tail -n 1)
	own_apt "root: fetching packages of $ARCH" -y --download-only --no-install-recommends \
		-o Dir::State::status="$apt/status" install "${GUEST[@]}" "${SYSROOT[@]}" "${libgcc:-libgcc-dev}"
}

unpack() {
	local name deb
	# The kernel's selftests mount cgroups below /mnt.
	mkdir -p "$root.part"/{dev,etc,mnt,proc,root,run,sys,tmp,usr/{bin,lib,sbin,local/sbin},var/tmp}
	for name in bin lib sbin; do ln -s "usr/$name" "$root.part/$name"; done
	for deb in "$apt"/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" |
			tar -x -C "$root.part" --keep-directory-symlink --no-same-owner
	done
	for name in passwd group; do cp "$root.part/usr/share/base-passwd/$name.master" "$root.part/etc/$name"; done
	[ -e "$root.part/bin/sh" ] || ln -s dash "$root.part/bin/sh"
	[ -e "$root.part/bin/awk" ] || ln -s mawk "$root.part/bin/awk"
	# virtme-ng's init ends with it.
	printf '%s\n' '#!/bin/sh' 'echo o >/proc/sysrq-trigger' 'while :; do :; done' >"$root.part/usr/local/sbin/poweroff"
	chmod +x "$root.part/usr/local/sbin/poweroff"
	mv "$root.part" "$root"
}

check_arch
make_cache
root=$CACHE/root-$ARCH apt=$CACHE/apt-$ARCH
lock "$root.lock" "the root file system of $ARCH"
if [ ! -d "$root" ]; then
	fetch
	unpack
	rm -rf "$apt"
fi
echo "$root"
