#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# herd.sh MODEL: a herd7 that can run the memory model in the folder MODEL;
# its path is the last line of stdout. The machine's own where it works, else
# Debian sid's in the cache, with the libraries it was made for and started
# through their loader: no library of this machine takes part.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/apt.sh"

model=${1:?the folder of a memory model}
apt=$CACHE/apt-sid
tool=$TOOLS/herd7
packages=(herdtools7 libc6 libgmp10)
next='install herdtools7 7.58 or later and run the same command again'

# A test with the two answers that matter: the second is the first weakened.
works() {
	local herd=$1 test
	command -v "$herd" >/dev/null || return
	test=$(mktemp -d)
	answer() {
		printf '%s\n' 'C probe' '{}' \
			"P0(int *x, int *y) { WRITE_ONCE(*x, 1); $1 WRITE_ONCE(*y, 1); }" \
			"P1(int *x, int *y) { int r0 = smp_load_acquire(y); int r1 = READ_ONCE(*x); }" \
			'exists (1:r0=1 /\ 1:r1=0)' >"$test/probe.litmus"
		(cd "$model" && "$herd" -conf linux-kernel.cfg "$test/probe.litmus" 2>/dev/null) |
			sed -n 's/^Observation probe \([A-Z][a-z]*\) .*/\1/p'
	}
	set -- "$(answer 'smp_wmb();')" "$(answer '')"
	rm -rf "$test"
	[ "$*" = 'Never Sometimes' ]
}

# unpack FOLDER: only what herd7 needs, and what starts it.
unpack() {
	local archives=("$apt/archives"/*.deb) deb file folder name
	for deb in "${archives[@]}"; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$1" --wildcards \
			--exclude './usr/share/doc*' \
			'./usr/bin/herd7' './usr/share/herdtools7/herd*' \
			'*/ld-linux-x86-64.so.2' '*/libc.so.6' '*/libm.so.6' '*/libgmp.so.10*' \
			2>/dev/null || true # tar minds that a pattern is not in each package
	done
	mkdir "$1/lib"
	for name in ld-linux-x86-64.so.2 libc.so.6 libm.so.6 libgmp.so.10; do
		file=$(find "$1" -path "$1/lib/*" -prune -o -name "$name" -print -quit)
		[ -n "$file" ] || die "there is no $name in Debian's packages" "look at $apt/archives"
		cp -L "$file" "$1/lib/$name"
	done
	folder=$(dirname "$(find "$1/usr/share/herdtools7" -name stdlib.cat | head -n 1)")
	cat >"$1/run" <<-RUN
		#!/bin/sh
		here=\$(dirname "\$(readlink -f "\$0")")
		exec "\$here/lib/ld-linux-x86-64.so.2" --library-path "\$here/lib" \\
		        "\$here/usr/bin/herd7" -set-libdir "\$here/${folder#"$1/"}" "\$@"
	RUN
	chmod +x "$1/run"
}

# The packages are of no use once they are unpacked.
fetch() {
	[ "$(uname -m)" = x86_64 ] || die "herd7 is not here, and is only fetched on x86-64" "$next"
	configure_apt sid "$next"
	need_disk "$CACHE" 300 "fetching herd7"
	say "herd7: not on this machine, taking Debian sid's"
	own_apt "herd7: reading the package lists" update
	rm -f "$apt/archives"/*.deb
	(cd "$apt/archives" && own_apt "herd7: fetching it" download "${packages[@]}")
	mkdir "$tool.part"
	unpack "$tool.part"
	works "$tool.part/run" ||
		die "the herd7 that was fetched does not work with the model in $model" \
			"$next"
	rm -rf "$tool" "$apt/archives"
	mv "$tool.part" "$tool"
}

make_cache
[ -f "$model/linux-kernel.cfg" ] || die "there is no memory model in $model" "name tools/memory-model of a kernel source"
if works herd7; then
	command -v herd7
	exit
fi
lock "$CACHE/herd.lock" "herd7"
rm -rf "$tool.part"
works "$tool/run" || fetch
echo "$tool/run"
