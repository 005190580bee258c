#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# warnings.sh BUILD [OUT]: what the tools say of our files that does not stop a
# build, with the source and the configuration of that build folder, in OUT, or in
# a folder of its own: rustc and clippy by the kernel's own rules over the kernel
# crate and the sample, clang with W=1, rustdoc, kernel-doc. A warning is an error,
# and stays one: what has a warning is not made, so that the next run finds it
# again.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
find_toolchain

# What is ours or has lines of ours. Not the doctests: the kernel's own have a
# warning.
OBJECTS=(rust/kernel.o samples/rust/rust_bpf_async.o
	rust/helpers/helpers.o kernel/bpf/async_rust.o kernel/bpf/helpers.o)
DOCUMENTED=(include/linux/bpf_async.h kernel/bpf/async_rust.c)

build=${1:?the build folder of a kernel with the switch on}
[ -f "$build/.config" ] || die "$build is not the build folder of a kernel" "make kernel prints it"
name=${build##*/}
driver=${RUSTC%rustc}clippy-driver
"$driver" --version >/dev/null 2>&1 || {
	say "skipped: no $driver; install the clippy of $RUSTC ('make setup' does so on Debian)"
	exit 4
}
make_cache
tree=$(readlink -f "$build/source")
out=${2:-$CACHE/warnings/$name}
log=$LOGS/warnings-$name
mkdir -p "$out"
# The tree must not change under a build.
lock "$tree.lock" "the tree ${tree##*/}" -s
lock "$out.lock" "the folder of warnings for $name"
cmp -s "$build/.config" "$out/.config" || cp "$build/.config" "$out/.config"

# complain TOOL LOG: what it said, without what make did.
failed=0
complain() {
	grep -vE '^  [A-Z]|^make|^ln ' "$2" >&2 || tail -n 15 "$2" >&2
	say "error: $1 has something to say of $name, its output is $2; fix what it says"
	failed=1
}

KMAKE+=(-C "$tree" O="$out" -k -j"$(nproc)" -Otarget W=1e CLIPPY=1 CLIPPY_DRIVER="$driver")
logged "warnings: $name: clippy and W=1" "$log.log" '  [A-Z]' -- "${KMAKE[@]}" "${OBJECTS[@]}" ||
	complain "a compiler" "$log.log"

# rustdoc comes after the kernel crate, once that can be made. No page is written: one
# stands in for all, which make then looks through. It has removed their folder before.
pages=Documentation/output/rust/rustdoc
only_kernel_crate "$out/rustdoc" -Dwarnings -Zunstable-options --check
sed -i "2i mkdir -p $pages/static.files && touch $pages/index.html" "$out/rustdoc"
[ "$failed" = 1 ] || logged "warnings: $name: rustdoc" "$log-rustdoc.log" '  [A-Z]' -- \
	"${KMAKE[@]}" RUSTDOC="$out/rustdoc" rustdoc || complain rustdoc "$log-rustdoc.log"

# make rustdoc looks for these in the pages.
links() {
	local file link bad=0
	while IFS=: read -r file link; do
		[ -e "$tree/${link#*srctree/}" ] || { echo "$file: ${link#(} does not exist" && bad=1; }
	done < <(cd "$ROOT" && grep -roE '\(srctree/[^)]+' rust/kernel samples/rust)
	return "$bad"
}
links >"$log-links.log" || complain "the search for links" "$log-links.log"

(cd "$tree" && python3 -B scripts/kernel-doc -none -Wall -Werror "${DOCUMENTED[@]}") >"$log-kernel-doc.log" 2>&1 ||
	complain kernel-doc "$log-kernel-doc.log"
exit "$failed"
