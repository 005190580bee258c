# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: finds the compilers and sets KMAKE, the command that
# builds a kernel. clang and rustc should have the same LLVM major: only then
# can the kernel inline its C helpers into Rust (RUST_INLINE_HELPERS).

RUSTC_NEEDED=1.85.0
CLANG_NEEDED=17.0.1

DISTRO=$(. /etc/os-release 2>/dev/null && echo "${ID:-}-${VERSION_ID:-}") || DISTRO=
known_distro() {
	case $DISTRO in
	debian-12 | debian-13) ;;
	*) return 1 ;;
	esac
}

rustc_version() { "$1" --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'; }
clang_version() { "$1" --version 2>/dev/null | sed -n 's/.*clang version \([0-9.]*\).*/\1/p'; }

# Debian's own rustc comes before one on PATH: the kernel needs the library's
# sources of exactly that compiler, and rustup's are often not installed.
find_rustc() {
	local candidate
	RUSTC_FOUND='' RUSTC_LLVM='' RUST_LIB_SRC=''
	for candidate in "${RUSTC:-}" /usr/bin/rustc rustc; do
		[ "$candidate" != rustc ] || ! known_distro || continue
		candidate=$(command -v "$candidate" 2>/dev/null) || continue
		RUSTC_FOUND=$(rustc_version "$candidate")
		[ -n "$RUSTC_FOUND" ] || continue
		RUSTC=$candidate
		RUSTC_LLVM=$("$RUSTC" -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
		RUSTDOC=${RUSTC%rustc}rustdoc
		RUST_LIB_SRC=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust/library
		return
	done
	RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
}

# The clang of rustc's LLVM major, else the newest that is there.
find_clang() {
	local suffix
	CLANG_FOUND='' CLANG_MAJOR=''
	for suffix in ${RUSTC_LLVM:+"-$RUSTC_LLVM"} -23 -22 -21 -20 -19 -18 -17 ''; do
		command -v "clang$suffix" >/dev/null || continue
		CLANG_FOUND=$(clang_version "clang$suffix")
		ver_ge "$CLANG_FOUND" "$CLANG_NEEDED" || continue
		LLVM_SUFFIX=$suffix CLANG_MAJOR=${CLANG_FOUND%%.*}
		LIBCLANG=/usr/lib/llvm-$CLANG_MAJOR/lib
		return
	done
	LLVM_SUFFIX=${RUSTC_LLVM:+-$RUSTC_LLVM} LIBCLANG=
}

llvm_agrees() { [ -n "$RUSTC_LLVM" ] && [ "$RUSTC_LLVM" = "$CLANG_MAJOR" ]; }

# bindgen loads libclang at run time; the place is the distribution's business.
find_toolchain() {
	check_arch
	find_rustc
	find_clang
	[ ! -d "$LIBCLANG" ] || export LIBCLANG_PATH=$LIBCLANG
	export PATH=$TOOLS/bin:$PATH
	KMAKE=(make "ARCH=$KERNEL_ARCH" "LLVM=${LLVM_SUFFIX:-1}" "RUSTC=$RUSTC" "RUSTDOC=$RUSTDOC"
		"RUST_LIB_SRC=$RUST_LIB_SRC" "BINDGEN=$TOOLS/bin/bindgen")
}

# Words of a locale or of a caller must not reach the kernel's build.
export LC_ALL=C
unset MAKEFLAGS MAKELEVEL MFLAGS KBUILD_OUTPUT CROSS_COMPILE KCFLAGS 2>/dev/null || true
