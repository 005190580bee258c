#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# source.sh: Debian's source of that kernel, unpacked and never
# touched again, in the cache; its path is the last line of stdout.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/apt.sh"

series=$KERNEL_SERIES
package=linux-source-$series
wanted=$KERNEL_WANTED
apt=$CACHE/apt

# What was fetched before: the wanted version, else the newest of the series.
unpacked() {
	local found
	found=$(compgen -G "$CACHE/src/linux-$series.*[0-9]" | sort -V | tail -n 1) || return
	[ ! -d "$CACHE/src/linux-$wanted" ] || found=$CACHE/src/linux-$wanted
	echo "$found"
}

# Sets version (Debian's) and kernel (upstream's).
choose_version() {
	local versions
	versions=$(apt-cache -c="$apt/apt.conf" madison "$package" | awk '{ print $3 }' | sort -rV)
	[ -n "$versions" ] || die "$package is gone from trixie-backports" \
		"give your own tree: KSRC=/path/to/linux"
	version=$(grep -m 1 "^${wanted}[.-]" <<<"$versions") || {
		version=$(head -n 1 <<<"$versions")
		say "source: Linux $wanted is gone from trixie-backports, taking ${version%%-*}"
	}
	kernel=${version%%-*}
}

fetch() {
	need_disk "$CACHE" 2500 "fetching and unpacking the kernel's source"
	say "source: looking for $package in trixie-backports"
	own_apt "source: reading the package lists" update
	choose_version
	say "source: fetching $package $version"
	(cd "$apt/archives" && own_apt "source: fetching $package" download "$package=$version")
	deb=$(compgen -G "$apt/archives/${package}_${version}_*.deb") ||
		die "apt left no ${package}_${version}_*.deb in $apt/archives" "run the same command again"
}

unpack() {
	dpkg-deb --fsys-tarfile "$1" | tar -xO "./usr/src/$package.tar.xz" |
		tar -xvJ --strip-components=1 -C "$2"
}

make_cache
lock "$CACHE/src.lock" "the kernel's source"
rm -rf "$CACHE"/src/*.part
if ! source=$(unpacked); then
	configure_apt trixie-backports 'give your own tree: KSRC=/path/to/linux'
	fetch
	source=$CACHE/src/linux-$kernel
	mkdir "$source.part"
	logged "source: unpacking Linux $kernel" "$LOGS/unpack.log" . 103000 -- unpack "$deb" "$source.part" || {
		tail -n 2 "$LOGS/unpack.log" >&2
		rm -rf "$source.part"
		die "unpacking $deb failed" "make room if the disk is full, then run the same command again"
	}
	found=$(kernel_version "$source.part")
	[ "$found" = "$kernel" ] || die "$deb holds kernel '$found', not $kernel" "report this"
	mv "$source.part" "$source"
elif [ "${source##*/linux-}" != "$wanted" ]; then
	say "source: Linux $wanted was gone when this was fetched, taking ${source##*/linux-}"
fi
echo "$source"
