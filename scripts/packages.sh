# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after toolchain.sh: what is needed, once for setup.sh and doctor.sh.

# Debian packages besides the compilers, the same names in Debian 12 and 13.
PACKAGES=(
	bc bison flex kmod libelf-dev libssl-dev make openssl pahole perl rsync # the kernel
	gcc libc6-dev                                                       # rustc links with gcc
	zlib1g-dev zstd                                                     # libbpf, bpftool, selftests
	ca-certificates git python3 python3-matplotlib python3-venv shellcheck xz-utils
	qemu-system-x86                                                     # the guest
)

# TOOLS_NEEDED: command, version needed (- for any), package, and what prints
# the version. Every line is needed to build or, the last ones, to boot.
TOOLS_NEEDED='
make	4.0	make	make --version
flex	2.5.35	flex	flex --version
bison	2.0	bison	bison --version
bc	-	bc	bc --version
perl	5	perl	perl -e print+sprintf("%vd",$^V)
python3	3.11	python3	python3 --version
pahole	1.24	pahole	pahole --version
git	2.0	git	git --version
rsync	-	rsync	rsync --version
xz	-	xz-utils	xz --version
zstd	-	zstd	zstd --version
openssl	1.0.0	openssl	openssl version
depmod	13	kmod	kmod --version
flock	-	util-linux	flock --version
gcc	-	gcc	gcc -dumpfullversion
qemu-system-x86_64	7.0	qemu-system-x86	qemu-system-x86_64 --version
'

# The guest of ARCH=arm64.
if [ "${ARCH:-}" = arm64 ]; then
	PACKAGES+=(qemu-system-arm)
	TOOLS_NEEDED+=$'qemu-system-aarch64\t7.0\tqemu-system-arm\tqemu-system-aarch64 --version\n'
fi

# What one target needs besides.
case ${WITH:-} in
patches)
	PACKAGES+=(codespell sparse)
	TOOLS_NEEDED+=$'codespell\t-\tcodespell\tcodespell --version\nsparse\t-\tsparse\tsparse --version\n'
	;;
docs)
	PACKAGES+=(python3-sphinx python3-yaml)
	TOOLS_NEEDED+=$'sphinx-build\t3.4.3\tpython3-sphinx\tsphinx-build --version\n'
	;;
esac

# HEADERS_NEEDED: header, package.
HEADERS_NEEDED='
libelf.h	libelf-dev
openssl/opensslv.h	libssl-dev
zlib.h	zlib1g-dev
'

# The first thing that looks like a version in what a command prints.
version_of() {
	local text
	text=$("$@" 2>&1) || return
	[[ $text =~ [0-9]+(\.[0-9]+)+ || $text =~ [0-9]+ ]] && echo "${BASH_REMATCH[0]}"
}

# Are the package's tools there without it, for instance a QEMU built by hand?
supplied() {
	local name needed package command status=1
	while IFS=$'\t' read -r name needed package command; do
		[ "$package" = "$1" ] || continue
		have "$name" || return 1
		# shellcheck disable=SC2086 # a command with its arguments
		[ "$needed" = - ] || ver_ge "$(version_of $command)" "$needed" || return 1
		status=0
	done <<<"$TOOLS_NEEDED"
	return "$status"
}

# Those of its arguments that are neither installed nor supplied.
missing_packages() {
	local package
	comm -23 <(printf '%s\n' "$@" | sort) \
		<(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
			sed -n 's/ installed$//p' | sort) |
		while read -r package; do
			supplied "$package" || echo "$package"
		done
}
package_offered() { [ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]; }

# The LLVM major that a package of rustc stands on, by what it depends on:
# rustc -> libstd-rust-dev -> libstd-rust-N -> libllvmN.
package_llvm() {
	local name=$1 text
	while text=$(apt-cache depends --important "$name" 2>/dev/null); do
		if [[ $text =~ Depends:\ libllvm([0-9]+) ]]; then
			echo "${BASH_REMATCH[1]}"
			return
		fi
		[[ $text =~ Depends:\ (libstd-rust[a-z0-9.-]*) ]] || return
		name=${BASH_REMATCH[1]}
	done
	return 1
}

package_version() { apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: *//p'; }

# choose_compilers: sets COMPILERS, the packages of a rustc and of the clang of
# the same LLVM, from what apt offers. An installed rustc that is new enough
# stays. Debian 12's plain rustc is too old, its rustc-web is not.
choose_compilers() {
	local rustc prefix llvm
	COMPILERS=()
	for rustc in "$(rustc_package)" rustc-web rustc; do
		[ -n "$rustc" ] || continue
		ver_ge "$(package_version "$rustc")" "$RUSTC_NEEDED" || continue
		llvm=$(package_llvm "$rustc") || continue
		package_offered "clang-$llvm" || continue
		prefix=rust${rustc#rustc}
		COMPILERS=("$rustc" "$prefix-src" "$prefix-clippy" "rustfmt${rustc#rustc}" "clang-$llvm"
			"lld-$llvm" "llvm-$llvm" "libclang-$llvm-dev")
		CARGO_PACKAGE=cargo${rustc#rustc}
		return
	done
	return 1
}

rustc_package() {
	[ ! -x /usr/bin/rustc ] || dpkg-query -S /usr/bin/rustc 2>/dev/null | sed 's/:.*//'
}

# For the checks: the clippy of the compiler that is installed.
clippy_package() {
	local rustc
	rustc=$(rustc_package) || return 0
	[ -z "$rustc" ] || echo "rust${rustc#rustc}-clippy"
}

virtme_is_whole() {
	[ -x "$TOOLS/virtme/bin/virtme-run" ] &&
		compgen -G "$TOOLS/virtme/lib/python*/site-packages/virtme_ng-$VIRTME_VERSION.dist-info/RECORD" >/dev/null
}
