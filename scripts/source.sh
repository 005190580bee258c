#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# source.sh: Debian's source of the kernel, unpacked and never touched again, in
# the cache; its path is the last line of stdout.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/apt.sh"

package=linux-source-$KERNEL_SERIES
wanted=$KERNEL_WANTED
apt=$CACHE/apt
next='give your own tree: KSRC=/path/to/linux'

# What was fetched before: the wanted version, else the newest of the series.
unpacked() {
	local wanted_source=$CACHE/src/linux-$wanted
	[ ! -d "$wanted_source" ] || { echo "$wanted_source" && return; }
	compgen -G "$CACHE/src/linux-$KERNEL_SERIES.*[0-9]" | sort -V | tail -n 1
}

# Sets deb, the package's file, and kernel, upstream's version of it.
fetch() {
	local versions version
	need_disk "$CACHE" 2500 "fetching and unpacking the kernel's source"
	say "source: looking for $package in trixie-backports"
	own_lists "source: reading the package lists" trixie-backports "$next"
	versions=$(apt-cache -c="$apt/apt.conf" madison "$package" | awk '{ print $3 }' | sort -rV)
	[ -n "$versions" ] || die "$package is gone from trixie-backports" "$next"
	version=$(grep -m 1 "^${wanted}[.-]" <<<"$versions") || {
		version=${versions%%$'\n'*}
		say "source: Linux $wanted is gone from trixie-backports, taking ${version%%-*}"
	}
	say "source: fetching $package $version"
	(cd "$apt/archives" && own_apt "source: fetching $package" download "$package=$version")
	deb=$(compgen -G "$apt/archives/${package}_${version}_*.deb") kernel=${version%%-*}
}

unpack() {
	dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$package.tar.xz" | tar -xvJ --strip-components=1 -C "$1"
}

make_cache
lock "$CACHE/src.lock" "the kernel's source"
rm -rf "$CACHE"/src/*.part
if ! source=$(unpacked); then
	fetch
	source=$CACHE/src/linux-$kernel
	mkdir "$source.part"
	logged "source: unpacking Linux $kernel" "$LOGS/unpack.log" . 103000 -- unpack "$source.part" || {
		tail -n 2 "$LOGS/unpack.log" >&2
		rm -rf "$source.part"
		die "unpacking $deb failed" "make room if the disk is full, then run the same command again"
	}
	mv "$source.part" "$source"
elif [ "${source##*/linux-}" != "$wanted" ]; then
	say "source: Linux $wanted was gone when this was fetched, taking ${source##*/linux-}"
fi
echo "$source"
