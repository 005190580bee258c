#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# IMPL=rust|c [...] bpf-dev.sh: what is needed to write a BPF program for the
# kernel: builds the kernel if need be, its vmlinux.h, and libbpf and bpftool of
# the same source; prints where they are and the commands to begin with.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"

check_arch
[ "$ARCH" = x86_64 ] || die "make bpf-dev is for x86_64" "leave out ARCH=$ARCH"
build=$(built "${IMPL:-rust}")
find_toolchain
tree=$(readlink -f "$build/source")
tools=$(bpf_tools "$build")
out=$CACHE/bpf-dev/${build##*/}
log=$LOGS/bpf-dev-${build##*/}.log
mkdir -p "$tools" "$out"
# selftests.py builds there too.
lock "$tools/lock" "bpftool of the tree ${tree##*/}"
logged "bpf-dev: ${build##*/}" "$log" '(tools|gen): ' -- \
	"${KMAKE[@]}" -j"$(nproc)" -f "$SCRIPTS/selftests/build.mk" SRC="$tree" KERNEL="$build" OUT="$out" \
	TOOLDIR="$tools" TESTS= "$tools/bpftool" "$out/vmlinux.h" || failed "bpftool or vmlinux.h could not be made" "$log"
clang=clang$LLVM_SUFFIX includes=-I$tools/libbpf/include
cat <<EOF
kernel     $build/$KERNEL_IMAGE
vmlinux.h  $out/vmlinux.h
libbpf     $tools/libbpf/libbpf.a, headers in $tools/libbpf/include
bpftool    $tools/bpftool, first in PATH in make vm and make shell

A program, its skeleton, a loader that includes that, and a run:
  $clang --target=bpf -mcpu=v3 -O2 -g -Wall -fms-extensions -Wno-microsoft-anon-tag -D__TARGET_ARCH_x86 -I$out $includes -c prog.bpf.c -o prog.bpf.o
  $tools/bpftool gen skeleton prog.bpf.o name prog >prog.skel.h
  $clang -O2 -g -Wall $includes loader.c $tools/libbpf/libbpf.a -lelf -lz -o loader
  make -C $ROOT vm CMD=\$PWD/loader      # what it writes to a file is lost
EOF
