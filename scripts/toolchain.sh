# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: finds the compilers and sets KMAKE, the command that
# builds a kernel. clang and rustc should have the same LLVM major: only then
# can the kernel inline its C helpers into Rust (RUST_INLINE_HELPERS).

RUSTC_NEEDED=1.85.0
CLANG_NEEDED=17.0.1

DISTRO=$(. /etc/os-release 2>/dev/null && echo "${ID:-}-${VERSION_ID:-}") || DISTRO=
known_distro() { [[ $DISTRO =~ ^debian-1[23]$ ]]; }

# Debian's own rustc comes before one on PATH: the kernel needs the library's
# sources of exactly that compiler, and rustup's are often not installed.
find_rustc() {
	local candidate about candidates=(/usr/bin/rustc)
	[ -z "${RUSTC:-}" ] || candidates=("$RUSTC" /usr/bin/rustc)
	known_distro || candidates+=(rustc)
	RUSTC_FOUND='' RUSTC_LLVM='' RUST_LIB_SRC=''
	for candidate in "${candidates[@]}"; do
		RUSTC=$(command -v "$candidate") || continue
		about=$("$RUSTC" -vV 2>/dev/null) || continue
		RUSTC_FOUND=$(sed -n 's/^rustc \([0-9.]*\).*/\1/p' <<<"$about")
		RUSTC_LLVM=$(sed -n 's/^LLVM version: \([0-9]*\).*/\1/p' <<<"$about")
		RUST_LIB_SRC=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust/library
		break
	done
	RUSTC=${RUSTC:-/usr/bin/rustc} RUSTDOC=${RUSTC%rustc}rustdoc
}

# The clang of rustc's LLVM major, else the newest that is there.
find_clang() {
	local suffix
	CLANG_FOUND='' CLANG_MAJOR='' LLVM_SUFFIX=${RUSTC_LLVM:+-$RUSTC_LLVM} LIBCLANG=
	for suffix in ${RUSTC_LLVM:+"-$RUSTC_LLVM"} -23 -22 -21 -20 -19 -18 -17 ''; do
		have "clang$suffix" || continue
		CLANG_FOUND=$("clang$suffix" --version 2>/dev/null | sed -n 's/.*clang version \([0-9.]*\).*/\1/p')
		ver_ge "$CLANG_FOUND" "$CLANG_NEEDED" || continue
		LLVM_SUFFIX=$suffix CLANG_MAJOR=${CLANG_FOUND%%.*}
		LIBCLANG=/usr/lib/llvm-$CLANG_MAJOR/lib
		return
	done
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

# only_kernel_crate FILE OPTION...: a rustdoc for make rustdoc, with which it documents that alone.
only_kernel_crate() {
	cat >"$1" <<-EOF
		#!/bin/sh
		case " \$* " in
		*" --crate-name kernel "*) exec "$RUSTDOC" ${*:2} "\$@" ;;
		esac
	EOF
	chmod +x "$1"
}

# pip notes this down last. To run it takes half a second.
virtme_is_whole() {
	compgen -G "$TOOLS/virtme/lib/python*/site-packages/virtme_ng-$VIRTME_VERSION.dist-info/RECORD" >/dev/null
}

# Words of a locale or of a caller must not reach the kernel's build.
export LC_ALL=C
unset MAKEFLAGS MAKELEVEL MFLAGS KBUILD_OUTPUT CROSS_COMPILE KCFLAGS 2>/dev/null || true
