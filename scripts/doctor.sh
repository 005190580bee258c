#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# doctor.sh [--quick]: lists every tool with the version found, the version
# needed and what to do. Exit status 0: a kernel can be built and booted.
# With --quick nothing is printed and nothing slow is asked.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
. "$SCRIPTS/packages.sh"
find_toolchain

quick='' bad=0
case ${1:-} in
'') ;;
--quick) quick=1 ;;
*) die "unknown argument '$1'" "the only one is --quick" ;;
esac

# row NAME NEEDED FOUND FIX: nothing, or an older version, is not good enough.
row() {
	local said=ok
	[ -n "$3" ] && { [ "$2" = - ] || ver_ge "$3" "$2"; } || said=$4 bad=1
	[ -n "$quick" ] || printf '%-20s %-10s %-12s %s\n' "$1" "$2" "${3:-none}" "$said"
	[ -z "$quick" ] || [ "$bad" = 0 ] || exit 1
}

fix() { if known_distro; then echo "make setup (package $1)"; else echo "install $1"; fi; }

# found COMMAND...: the word for it, if that succeeds.
found() { ! "$@" >/dev/null || echo found; }

tools() {
	local name needed package command version PATH=$PATH:/usr/sbin:/sbin
	while IFS=$'\t' read -r name needed package command; do
		[ -n "$name" ] || continue
		if ! have "$name"; then
			row "$name" "$needed" '' "$(fix "$package")"
		elif [ "$needed" != - ] || [ -z "$quick" ]; then
			# shellcheck disable=SC2086 # a command with its arguments
			version=$(version_of $command) || [ "$needed" != - ] || version=found
			row "$name" "$needed" "$version" "$(fix "a newer $package")"
		fi
	done <<<"$TOOLS_NEEDED"
}

headers() {
	local header package
	while IFS=$'\t' read -r header package; do
		[ -z "$header" ] ||
			row "$header" - "$(found has_header "$header")" "$(fix "$package")"
	done <<<"$HEADERS_NEEDED"
}

has_header() { compgen -G "/usr/include/$1" || compgen -G "/usr/include/$(uname -m)-linux-gnu/$1"; }

compilers() {
	local tool
	row rustc "$RUSTC_NEEDED" "$RUSTC_FOUND" "$(fix "rustc-web or rustc")"
	row "rust library source" - "$(found test -f "$RUST_LIB_SRC/core/src/lib.rs")" \
		"$(fix "rust-web-src or rust-src")"
	row clang "$CLANG_NEEDED" "$CLANG_FOUND" "$(fix "clang of rustc's LLVM ${RUSTC_LLVM:-major}")"
	for tool in ld.lld llvm-nm llvm-objcopy; do
		row "$tool" - "$(found have "$tool$LLVM_SUFFIX")" "$(fix "lld and llvm beside clang$LLVM_SUFFIX")"
	done
	row libclang - "$(found has_libclang)" "$(fix "libclang${LLVM_SUFFIX}-dev")"
	[ -n "$quick" ] || llvm_agrees || [ "$bad" = 1 ] ||
		echo "note: clang has LLVM $CLANG_MAJOR, rustc $RUSTC_LLVM: RUST_INLINE_HELPERS will be off"
}

has_libclang() {
	compgen -G "${LIBCLANG:-/nonexistent}/libclang*.so*" ||
		PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep libclang
}

# What setup.sh builds into the cache. Whether virtme-ng also runs takes half a
# second to find out, so the quick answer goes by what is installed.
own_tools() {
	local version
	version=$("$TOOLS/bin/bindgen" --version 2>/dev/null | tr -dc 0-9.) || version=
	[ "$version" = "$BINDGEN_VERSION" ] || version=
	row bindgen "$BINDGEN_VERSION" "$version" "make setup (cargo install bindgen-cli)"
	version=
	! virtme_is_whole || { [ -z "$quick" ] && ! "$TOOLS/virtme/bin/virtme-run" --help >/dev/null; } ||
		version=$VIRTME_VERSION
	row virtme-ng "$VIRTME_VERSION" "$version" "make setup (pip install virtme-ng)"
}

# The kernel's own word, once there is a kernel.
rustavailable() {
	local tree out available
	tree=$(compgen -G "$CACHE/src/linux-*[0-9]" | sort -V | tail -n 1) || tree=
	if [ -z "$tree" ]; then
		echo "make rustavailable: not asked, no kernel source yet (make tree)"
		return
	fi
	out=$(mktemp -d)
	available=yes
	"${KMAKE[@]}" -C "$tree" O="$out" rustavailable >"$out/log" 2>&1 || {
		grep -v '^make' "$out/log" >&2 || true
		available=
	}
	row rustavailable "${tree##*/linux-}" "$available" "see the kernel's message above"
	rm -rf "$out"
}

row machine x86_64 "$(uname -m)" "use an x86-64 machine"
tools
headers
compilers
own_tools
[ -z "$quick" ] || exit 0
rustavailable
known_distro || echo "note: Debian 12 and 13 are known, '${DISTRO:-this}' is not: make setup cannot install here"
[ "$bad" = 0 ] || die "a build cannot start" "do what the right column says"
