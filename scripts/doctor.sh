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

# row NAME NEEDED FOUND [FIX]: with FIX the tool is not good enough.
row() {
	[ -z "${4:-}" ] || bad=1
	[ -n "$quick" ] || printf '%-20s %-10s %-12s %s\n' "$1" "$2" "${3:-none}" "${4:-ok}"
	[ -z "$quick" ] || [ "$bad" = 0 ] || exit 1
}

fix() { if known_distro; then echo "make setup (package $1)"; else echo "install $1"; fi; }

tools() {
	local name needed package command found
	while IFS=$'\t' read -r name needed package command; do
		[ -n "$name" ] || continue
		if ! PATH=$PATH:/usr/sbin:/sbin command -v "$name" >/dev/null; then
			row "$name" "$needed" '' "$(fix "$package")"
		elif [ "$needed" = - ] && [ -n "$quick" ]; then
			continue
		else
			# shellcheck disable=SC2086 # a command with its arguments
			found=$(PATH=$PATH:/usr/sbin:/sbin version_of $command) || found=
			[ "$needed" = - ] || ver_ge "$found" "$needed" || {
				row "$name" "$needed" "$found" "$(fix "a newer $package")"
				continue
			}
			row "$name" "$needed" "$found"
		fi
	done <<<"$TOOLS_NEEDED"
}

headers() {
	local header package
	while IFS=$'\t' read -r header package; do
		[ -n "$header" ] || continue
		if compgen -G "/usr/include/$header" >/dev/null ||
			compgen -G "/usr/include/$(uname -m)-linux-gnu/$header" >/dev/null; then
			row "$header" - found
		else
			row "$header" - '' "$(fix "$package")"
		fi
	done <<<"$HEADERS_NEEDED"
}

compilers() {
	local tool
	if ver_ge "$RUSTC_FOUND" "$RUSTC_NEEDED"; then
		row rustc "$RUSTC_NEEDED" "$RUSTC_FOUND"
	else
		row rustc "$RUSTC_NEEDED" "$RUSTC_FOUND" "$(fix "rustc-web or rustc")"
	fi
	if [ -f "$RUST_LIB_SRC/core/src/lib.rs" ]; then
		row "rust library source" - found
	else
		row "rust library source" - '' "$(fix "rust-web-src or rust-src")"
	fi
	if [ -n "$CLANG_FOUND" ]; then
		row clang "$CLANG_NEEDED" "$CLANG_FOUND"
	else
		row clang "$CLANG_NEEDED" '' "$(fix "clang of rustc's LLVM ${RUSTC_LLVM:-major}")"
	fi
	for tool in ld.lld llvm-nm llvm-objcopy; do
		if command -v "$tool$LLVM_SUFFIX" >/dev/null; then
			row "$tool" - found
		else
			row "$tool" - '' "$(fix "lld and llvm beside clang$LLVM_SUFFIX")"
		fi
	done
	if ldconfig_has libclang; then
		row libclang - found
	else
		row libclang - '' "$(fix "libclang${LLVM_SUFFIX}-dev")"
	fi
	[ -n "$quick" ] || llvm_agrees || [ "$bad" = 1 ] ||
		echo "note: clang has LLVM $CLANG_MAJOR, rustc $RUSTC_LLVM: RUST_INLINE_HELPERS will be off"
}

ldconfig_has() {
	compgen -G "${LIBCLANG:-/nonexistent}/$1*.so*" >/dev/null ||
		PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -q "$1"
}

# What setup.sh builds into the cache. Whether virtme-ng also runs takes half a
# second to find out, so the quick answer goes by what is installed.
own_tools() {
	local found
	found=$("$TOOLS/bin/bindgen" --version 2>/dev/null | tr -dc 0-9.) || found=
	if [ "$found" = "$BINDGEN_VERSION" ]; then
		row bindgen "$BINDGEN_VERSION" "$found"
	else
		row bindgen "$BINDGEN_VERSION" "$found" "make setup (cargo install bindgen-cli)"
	fi
	if virtme_is_whole && { [ -n "$quick" ] || "$TOOLS/virtme/bin/virtme-run" --help >/dev/null; }; then
		row virtme-ng "$VIRTME_VERSION" "$VIRTME_VERSION"
	else
		row virtme-ng "$VIRTME_VERSION" '' "make setup (pip install virtme-ng)"
	fi
}

# The kernel's own word, once there is a kernel.
rustavailable() {
	local tree out
	tree=$(compgen -G "$CACHE/src/linux-*[0-9]" | sort -V | tail -n 1) || tree=
	if [ -z "$tree" ]; then
		echo "make rustavailable: not asked, no kernel source yet (make tree)"
		return
	fi
	out=$(mktemp -d)
	if "${KMAKE[@]}" -C "$tree" O="$out" rustavailable >"$out/log" 2>&1; then
		row rustavailable "${tree##*/linux-}" yes
	else
		grep -v '^make' "$out/log" >&2 || true
		row rustavailable "${tree##*/linux-}" no "see the kernel's message above"
	fi
	rm -rf "$out"
}

if [ "$(uname -m)" = x86_64 ]; then
	row machine x86_64 x86_64
else
	row machine x86_64 "$(uname -m)" "use an x86-64 machine"
fi
tools
headers
compilers
own_tools
[ -z "$quick" ] || exit 0
rustavailable
known_distro || echo "note: Debian 12 and 13 are known, '${DISTRO:-this}' is not: make setup cannot install here"
[ "$bad" = 0 ] || die "a build cannot start" "do what the right column says"
