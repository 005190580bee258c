#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# IMPL=rust|c [FLAVOR=debug|...] [KSRC=/path] [CONFIG_EXTRA=file]
# kernel.sh [--always]: builds the kernel and its modules in the cache; the
# image's path is the last line of stdout, everything else goes to stderr. What
# was built from the same is taken as it is, without asking make and without
# waiting for other builds, except with --always.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"

# Steps of a build from nothing, for the progress line: kbuild leaves a .cmd
# file for nearly each.
STEPS=2600

# In the build folder, once a build has ended well: from what, and which image.
STAMP=.bpf-async-built

fragments() {
	cat "$ROOT/config/base.config"
	[ "$FLAVOR" = plain ] || cat "$ROOT/config/$FLAVOR.config"
	cat "$ROOT/config/impl-$IMPL.config"
	llvm_agrees || echo 'CONFIG_RUST_INLINE_HELPERS=n'
	[ -z "${CONFIG_EXTRA:-}" ] || cat "$CONFIG_EXTRA"
}

# Everything that a kernel is made from, in one word: our files, the options, the
# compilers, and the source. Debian's never changes; of the user's own tree every
# file's size and time of last change, which no tool sets back.
inputs() {
	{
		fragments
		echo "$KERNEL_WANTED ${KSRC:-}" "${KMAKE[@]}"
		echo "$RUSTC_FOUND $CLANG_FOUND $BINDGEN_VERSION $(pahole --version 2>&1)"
		cat "$ROOT/integration/anchors.toml" "$SCRIPTS"/{kernel,tree,toolchain}.sh \
			"$SCRIPTS/integrate.py" "$SCRIPTS"/integration/*.py
		python3 -B -c '
import sys
sys.path.insert(0, sys.argv[1] + "/scripts")
from integration import plan
for path, content in plan.sources(sys.argv[1]).items():
    sys.stdout.buffer.write(b"%s %d\n%s" % (path.encode(), len(content), content))' "$ROOT"
		[ -z "${KSRC:-}" ] || find "$KSRC/" -path "$KSRC/.git" -prune -o ! -type d -printf '%p %s %C@\n' | sort
	} | sha256sum
}

# What tells an image from any other that was or will be in its place.
image_is() { stat -c '%i %s %.9Z' "$1" 2>/dev/null; }

# The last image that was built from these inputs and is still the same.
built_from() {
	local stamp
	while read -r stamp; do
		image=${stamp%/*}/arch/x86/boot/bzImage
		[ "$(tail -n 1 "$stamp")" != "$(image_is "$image")" ] || return 0
	done < <(grep -lsxF "$1" "$CACHE"/build/*/"$STAMP" | xargs -r ls -t)
	return 1
}

# Each option that was asked for and not taken, with what it is instead: a
# dependency that is missing would otherwise be found only when a test fails.
not_taken() {
	awk '
	function value(line) {
		if (line ~ /^# CONFIG_[A-Za-z0-9_]+ is not set$/) { name = $2; return "n" }
		if (line !~ /^CONFIG_[A-Za-z0-9_]+=/) { name = ""; return "" }
		name = substr(line, 1, index(line, "=") - 1)
		return substr(line, index(line, "=") + 1)
	}
	{ v = value($0) }
	name == "" { next }
	FNR == NR { asked[name] = v; next }
	{ got[name] = v }
	END {
		for (name in asked) {
			is = name in got ? got[name] : "n"
			if (is != asked[name]) print name "=" asked[name] " (is " is ")"
		}
	}' "$1" "$2" | sort
}

# make leaves .config alone when nothing changes, so that nothing is rebuilt.
configure() {
	local missing
	fragments >"$build/fragments"
	KCONFIG_ALLCONFIG=$build/fragments KCONFIG_CONFIG=$build/.config.new \
		"${KMAKE[@]}" -C "$tree" O="$build" allnoconfig >"$LOGS/$name-config.log" 2>&1 || {
		tail -n 15 "$LOGS/$name-config.log" >&2
		die "the kernel cannot be configured, the log is $LOGS/$name-config.log" "see the message above"
	}
	missing=$(not_taken "$build/fragments" "$build/.config.new")
	[ -z "$missing" ] || {
		say "$missing"
		rm -f "$build/.config.new"
		die "kernel $name did not take the options above" \
			"'make doctor' says whether Rust is available; else a dependency is missing in config/${CONFIG_EXTRA:+ or $CONFIG_EXTRA}"
	}
	llvm_agrees || say "kernel: clang has LLVM $CLANG_MAJOR, rustc $RUSTC_LLVM: RUST_INLINE_HELPERS is off"
	if cmp -s "$build/.config" "$build/.config.new"; then
		rm "$build/.config.new"
	else
		mv "$build/.config.new" "$build/.config"
	fi
}

# The first message of the compiler, not the last line of make.
show_failure() {
	local first
	first=$(grep -n -m 1 -E '(^|[^a-z_])(fatal )?error(\[E[0-9]+\])?:|^make.*\*\*\*|No space left' "$1" | cut -d: -f1) || first=1
	sed -n "$first,$((first + 29))p" "$1" | grep -v '^  [A-Z]' >&2
}

build_kernel() {
	local log=$LOGS/$name.log start=$SECONDS left
	left=$((STEPS - $(find "$build" -name '.*.cmd' | wc -l)))
	# What little is left of a build that was finished cannot be told.
	[ "$left" -gt 200 ] || left=0
	logged "kernel: building $name" "$log" '  [A-Z]' "$left" -- \
		"${KMAKE[@]}" -C "$tree" O="$build" -j"$(nproc)" -Otarget bzImage modules || {
		show_failure "$log"
		die "building kernel $name failed, the log is $log" "fix what the message says and run the same command again"
	}
	say "kernel: $name is built, $((SECONDS - start)) s"
}

[ $# = 0 ] || [ "$*" = --always ] || die "unknown argument '$*'" "the only one is --always"
check_impl
check_flavor
check_source
check_config_extra
make_cache
ensure_setup
find_toolchain
from=$(inputs)
if [ $# = 0 ] && built_from "$from"; then
	echo "$image"
	exit
fi
tree=$("$SCRIPTS/tree.sh")
tree=${tree##*$'\n'}
# Nothing may have changed while it was copied: else the stamp would be wrong.
[ "$from" = "$(inputs)" ] || from=
name=$(build_name "${tree##*/}")
build=$CACHE/build/$name
image=$build/arch/x86/boot/bzImage
# The tree must not change under a build.
lock "$tree.lock" "the tree ${tree##*/}" -s
lock "$build.lock" "the build folder $name"
[ -e "$image" ] || need_disk "$CACHE" 3000 "building a kernel"
mkdir -p "$build"
# Until the build has ended well, the image is of neither the old nor the new.
grep -qsxF "${from:-none}" "$build/$STAMP" || rm -f "$build/$STAMP"
configure
build_kernel
[ -s "$image" ] || die "the build left no $image" "see $LOGS/$name.log"
[ -z "$from" ] || printf '%s\n' "$from" "$(image_is "$image")" >"$build/$STAMP"
echo "$image"
