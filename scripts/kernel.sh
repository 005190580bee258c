#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# IMPL=rust|c [FLAVOR=debug|...] [ARCH=arm64] [KSRC=/path] [CONFIG_EXTRA=file]
# kernel.sh [--always]: builds the kernel and its modules in the cache; the
# image's path is the last line of stdout, everything else goes to stderr. What
# was built from the same is taken as it is, without asking make and without
# waiting for other builds, except with --always.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
. "$SCRIPTS/config.sh"

# Steps of a build from nothing, for the progress line: kbuild leaves a .cmd
# file for nearly each.
STEPS=2600

# In the build folder, once a build has ended well: from what, and which image.
STAMP=.bpf-async-built

# What tells an image from any other that was or will be in its place.
image_is() { stat -c '%i %s %.9Z' "$1" 2>/dev/null; }

# The last image that was built from these inputs and is still the same.
built_from() {
	local stamp
	while read -r stamp; do
		image=${stamp%/*}/$KERNEL_IMAGE
		[ "$(tail -n 1 "$stamp")" != "$(image_is "$image")" ] || return 0
	done < <(grep -lsxF "$1" "$CACHE"/build/*/"$STAMP" | xargs -r ls -t)
	return 1
}

# build_name IMPL: of the build folder. With CONFIG_EXTRA it is one of its own,
# the plain build stays as it is.
build_name() {
	local name=${tree##*/}-$1
	[ "$FLAVOR" = plain ] || name+=-$FLAVOR
	[ "$ARCH" = x86_64 ] || name+=-$ARCH
	[ -z "${CONFIG_EXTRA:-}" ] || name+=-extra-$(sha256sum <<<"$CONFIG_EXTRA" | cut -c 1-8)
	echo "$name"
}

# A new build folder begins as a copy: of the same kernel without CONFIG_EXTRA, or of
# the other implementation's. They share most objects. Compilers and options are make's
# business. Commands that name the folder get the new name: else objtool would be built
# again, and after it every object that it has looked at.
seed() {
	local other
	[ ! -e "$build" ] || return 0
	for other in "$(CONFIG_EXTRA='' build_name "$IMPL")" "$(build_name c)" "$(build_name rust)"; do
		[ -s "$CACHE/build/$other/$KERNEL_IMAGE" ] || continue
		[ -f "$CACHE/build/$other/$STAMP" ] || continue
		say "kernel: $name begins as a copy of $other"
		(
			lock "$CACHE/build/$other.lock" "the build folder $other" -s
			rm -rf "$build.part"
			cp -a --reflink=auto "$CACHE/build/$other" "$build.part"
			rm -f "$build.part/$STAMP" "$build.part/$KERNEL_IMAGE"
			find "$build.part" -name '.*.cmd' -exec sed -i "s|/build/$other/|/build/$name/|g" {} +
			mv "$build.part" "$build"
		)
		return
	done
}

configure() {
	local missing
	fragments >"$build/fragments"
	allnoconfig "$build" >"$LOGS/$name-config.log" 2>&1 ||
		failed "the kernel cannot be configured" "$LOGS/$name-config.log"
	missing=$(not_taken "$build/fragments" "$build/.config")
	[ -z "$missing" ] || {
		say "$missing"
		die "kernel $name did not take the options above" \
			"'make doctor' says whether Rust is available; else a name is wrong or a dependency is missing in config/${CONFIG_EXTRA:+ or $CONFIG_EXTRA}"
	}
	llvm_agrees || say "kernel: clang has LLVM $CLANG_MAJOR, rustc $RUSTC_LLVM: RUST_INLINE_HELPERS is off"
}

build_kernel() {
	local log=$LOGS/$name.log start=$SECONDS left
	left=$((STEPS - $(find "$build" -name '.*.cmd' | wc -l)))
	# What little is left of a build that was finished cannot be told.
	[ "$left" -gt 200 ] || left=0
	logged "kernel: building $name" "$log" '  [A-Z]' "$left" -- \
		"${KMAKE[@]}" -C "$tree" O="$build" -j"$(nproc)" -Otarget "${KERNEL_IMAGE##*/}" modules || {
		show_failure "$log"
		die "building kernel $name failed, the log is $log" "fix what the message says and run the same command again"
	}
	say "kernel: $name is built, $((SECONDS - start)) s"
}

[ $# = 0 ] || [ "$*" = --always ] || die "unknown argument '$*'" "the only one is --always"
check_impl
check_flavor
check_arch
check_source
check_config_extra
make_cache
ensure_setup
[ "$ARCH" = x86_64 ] || "$SCRIPTS/root.sh" >/dev/null
find_toolchain
from=$(inputs)
if [ $# = 0 ] && built_from "$from"; then
	echo "$image"
	exit
fi
tree=$("$SCRIPTS/tree.sh")
# Nothing may have changed while it was copied: else the stamp would be wrong.
[ "$from" = "$(inputs)" ] || from=
name=$(build_name "$IMPL")
build=$CACHE/build/$name
image=$build/$KERNEL_IMAGE
# The tree must not change under a build.
lock "$tree.lock" "the tree ${tree##*/}" -s
lock "$build.lock" "the build folder $name"
[ -e "$image" ] || need_disk "$CACHE" 3000 "building a kernel"
seed
mkdir -p "$build"
# Until the build has ended well, the image is of neither the old nor the new.
grep -qsxF "${from:-none}" "$build/$STAMP" || rm -f "$build/$STAMP"
configure
build_kernel
[ -z "$from" ] || printf '%s\n' "$from" "$(image_is "$image")" >"$build/$STAMP"
echo "$image"
