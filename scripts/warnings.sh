#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# clippy.sh BUILD: clippy by the kernel's own rules (CLIPPY=1) over the kernel
# crate and the sample, with the source and the configuration of that build
# folder, in a folder of its own. A warning is an error.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
find_toolchain

build=${1:?the build folder of a kernel with the switch on}
name=${build##*/}
driver=${RUSTC%rustc}clippy-driver
"$driver" --version >/dev/null 2>&1 || {
	say "skipped: no $driver; install the clippy of $RUSTC ('make setup' does so on Debian)"
	exit 77
}
make_cache
tree=$(readlink -f "$build/source")
out=$CACHE/clippy/$name
log=$LOGS/clippy-$name.log
mkdir -p "$out"
# The tree must not change under a build.
lock "$tree.lock" "the tree ${tree##*/}" -s
lock "$out.lock" "the folder of clippy for $name"
cmp -s "$build/.config" "$out/.config" || cp "$build/.config" "$out/.config"
logged "clippy: $name" "$log" '  [A-Z]' -- \
	"${KMAKE[@]}" -C "$tree" O="$out" -j"$(nproc)" CLIPPY=1 CLIPPY_DRIVER="$driver" \
	KRUSTFLAGS=-Dwarnings rust/kernel.o samples/rust/rust_bpf_async.o || {
	grep -v '^  [A-Z]' "$log" | grep -m 1 -A 40 -E '^(warning|error)|\*\*\*' >&2 || tail -n 15 "$log" >&2
	die "clippy has something to say of $name, its output is $log" "mend what the message says"
}
