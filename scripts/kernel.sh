#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# IMPL=rust|c [DEBUG=1|kcsan] [KVER=7.3|7.2] [KSRC=/path] kernel.sh: builds the
# kernel and its modules in the cache; the image's path is the last line of
# stdout, everything else goes to stderr.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"

# Steps of a build from nothing, for the progress line: kbuild leaves a .cmd
# file for nearly each.
STEPS=2600

fragments() {
	local extra=
	case $DEBUG in
	1) extra=debug ;;
	kcsan) extra=kcsan ;;
	esac
	cat "$ROOT/config/base.config" ${extra:+"$ROOT/config/$extra.config"} "$ROOT/config/impl-$IMPL.config"
	llvm_agrees || echo 'CONFIG_RUST_INLINE_HELPERS=n'
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
			"'make doctor' says whether Rust is available; else a dependency is missing in config/"
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
		die "building kernel $name failed, the log is $log" "mend what the message says and run the same command again"
	}
	say "kernel: $name is built, $((SECONDS - start)) s"
}

check_impl
check_debug
check_source
make_cache
ensure_setup
find_toolchain
tree=$("$SCRIPTS/tree.sh")
tree=${tree##*$'\n'}
name=$(build_name "${tree##*/}")
build=$CACHE/build/$name
image=$build/arch/x86/boot/bzImage
# The tree must not change under a build.
lock "$tree.lock" "the tree ${tree##*/}" -s
lock "$build.lock" "the build folder $name"
[ -e "$image" ] || need_disk "$CACHE" 3000 "building a kernel"
mkdir -p "$build"
configure
build_kernel
[ -s "$image" ] || die "the build left no $image" "see $LOGS/$name.log"
echo "$image"
