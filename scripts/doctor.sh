#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# doctor.sh [--quick|--packages]: lists every tool with the version found, the
# version needed and what to do. Exit status 0: a kernel can be built and booted.
# With --quick nothing is printed and nothing slow is asked. With --packages what
# is printed are Debian's packages of what is missing, "compilers" for those, and
# those whose presence only dpkg knows.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
find_toolchain

# Command or header, version needed (- for any), package (the same in Debian 12 and
# 13), and what prints the version, if that is not --version.
NEEDED='
make 4.0 make
flex 2.5.35 flex
bison 2.0 bison
bc - bc
perl 5 perl -e print+sprintf("%vd",$^V)
python3 3.11 python3
pahole 1.24 pahole
git 2.0 git
rsync - rsync
xz - xz-utils
zstd - zstd
openssl 1.0.0 openssl version
depmod 13 kmod
flock - util-linux
gcc - gcc -dumpfullversion
qemu-system-x86_64 7.0 qemu-system-x86
libelf.h - libelf-dev
openssl/opensslv.h - libssl-dev
zlib.h - zlib1g-dev
'
# For rustc's linker, to install the rest, and for checks and plots.
BESIDES=(libc6-dev ca-certificates python3-venv shellcheck python3-matplotlib)

[ "${ARCH:-}" != arm64 ] || NEEDED+=$'qemu-system-aarch64 7.0 qemu-system-arm\n'
# What one target needs besides.
case ${WITH:-} in
patches) NEEDED+=$'codespell - codespell\nsparse - sparse\n' ;;
docs) NEEDED+=$'sphinx-build 3.4.3 python3-sphinx\n' BESIDES+=(python3-yaml) ;;
esac

mode=${1:-} bad=0
[[ $mode =~ ^(--quick|--packages|)$ ]] || die "unknown argument '$1'" "the only ones are --quick and --packages"

# row NAME NEEDED FOUND PACKAGE FIX: nothing, or an older version, is not good enough.
row() {
	local said=ok
	[ -n "$3" ] && { [ "$2" = - ] || ver_ge "$3" "$2"; } || said=$5
	case $mode in
	'') printf '%-20s %-10s %-12s %s\n' "$1" "$2" "${3:-none}" "$said" ;;
	--packages) [ "$said" = ok ] || printf '%s\n' "$4" ;;
	--quick) [ "$said" = ok ] || exit 1 ;;
	esac
	[ "$said" = ok ] || bad=1
}

fix() { if known_distro; then echo "make setup (package $1)"; else echo "install $1"; fi; }

# found COMMAND...: the word for it, if that succeeds.
found() { ! "$@" >/dev/null || echo found; }

# The first thing that looks like a version in what a command prints.
version_of() {
	local text
	text=$("$@" 2>&1) || return
	[[ $text =~ [0-9]+(\.[0-9]+)+ || $text =~ [0-9]+ ]] && echo "${BASH_REMATCH[0]}"
}

tools() {
	local name needed package option what version PATH=$PATH:/usr/sbin:/sbin
	while read -r name needed package option; do
		what=$package version=
		if [[ $name == *.h ]]; then
			version=$(found has_header "$name")
		elif have "$name"; then
			what="a newer $package" version=found
			# Any will do: quickly said.
			# shellcheck disable=SC2086 # -e and a program
			[ "$needed" = - ] && [ -n "$mode" ] || version=$(version_of "$name" ${option:---version}) || version=
		fi
		row "$name" "$needed" "$version" "$package" "$(fix "$what")"
	done < <(grep . <<<"$NEEDED")
}

has_header() { compgen -G "/usr/include/$1" || compgen -G "/usr/include/$(uname -m)-linux-gnu/$1"; }

compilers() {
	local tool
	row rustc "$RUSTC_NEEDED" "$RUSTC_FOUND" compilers "$(fix "rustc-web or rustc")"
	row "rust library source" - "$(found test -f "$RUST_LIB_SRC/core/src/lib.rs")" compilers \
		"$(fix "rust-web-src or rust-src")"
	row clang "$CLANG_NEEDED" "$CLANG_FOUND" compilers "$(fix "clang of rustc's LLVM ${RUSTC_LLVM:-major}")"
	for tool in ld.lld llvm-nm llvm-objcopy; do
		row "$tool" - "$(found have "$tool$LLVM_SUFFIX")" compilers "$(fix "lld and llvm beside clang$LLVM_SUFFIX")"
	done
	row libclang - "$(found has_libclang)" compilers "$(fix "libclang${LLVM_SUFFIX}-dev")"
}

has_libclang() {
	compgen -G "${LIBCLANG:-/nonexistent}/libclang*.so*" ||
		PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep libclang
}

# What setup.sh builds into the cache.
own_tools() {
	local version
	version=$("$TOOLS/bin/bindgen" --version 2>/dev/null | tr -dc 0-9.) || version=
	[ "$version" = "$BINDGEN_VERSION" ] || version=
	row bindgen "$BINDGEN_VERSION" "$version" '' "make setup (cargo install bindgen-cli)"
	version=
	! virtme_is_whole || { [ -z "$mode" ] && ! "$TOOLS/virtme/bin/virtme-run" --help >/dev/null; } ||
		version=$VIRTME_VERSION
	row virtme-ng "$VIRTME_VERSION" "$version" '' "make setup (pip install virtme-ng)"
}

# The kernel's own word, once there is a kernel.
rustavailable() {
	local tree out available=yes
	tree=$(compgen -G "$CACHE/src/linux-*[0-9]" | sort -V | tail -n 1) || {
		echo "make rustavailable: not asked, no kernel source yet (make tree)"
		return
	}
	out=$(mktemp -d)
	"${KMAKE[@]}" -C "$tree" O="$out" rustavailable >"$out/log" 2>&1 || {
		grep -v '^make' "$out/log" >&2 || true
		available=
	}
	row rustavailable "${tree##*/linux-}" "$available" '' "see the kernel's message above"
	rm -rf "$out"
}

if [ "$mode" = --packages ]; then
	{ tools && compilers; } | sort -u
	printf '%s\n' "${BESIDES[@]}"
	exit
fi
row machine x86_64 "$(uname -m)" '' "use an x86-64 machine"
tools
compilers
[ -n "$mode" ] || [ "$bad" = 1 ] || llvm_agrees ||
	echo "note: clang has LLVM $CLANG_MAJOR, rustc $RUSTC_LLVM: RUST_INLINE_HELPERS will be off"
own_tools
[ -z "$mode" ] || exit 0
rustavailable
known_distro || echo "note: Debian 12 and 13 are known, '${DISTRO:-this}' is not: make setup cannot install here"
[ "$bad" = 0 ] || die "a build cannot start" "do what the right column says"
