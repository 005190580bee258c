#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [IMPL=rust|c|both] [FLAVOR=...] clients.sh: the schedulers of the kernel's
# source that use bpf_timer, built and run under load, on both kernels by
# default. Each must schedule until the load has ended, have its timer called,
# and leave when it is told to.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"

IMPL=${IMPL:-both}
check_impls clients
check_flavor
check_arch
[ "$ARCH" = x86_64 ] || die "make clients is for x86_64" "leave out ARCH=$ARCH"
find_toolchain

# build KERNEL: its schedulers, those with a bpf_timer; OUT is their folder.
build() {
	local tree log=$LOGS/clients-${1##*/}.log
	tree=$(readlink -f "$1/source")
	OUT=$CACHE/clients/${1##*/}
	mapfile -t names < <(cd "$tree/tools/sched_ext" && grep -l 'bpf_timer_start(' scx_*.bpf.c | sed 's/\.bpf\.c$//')
	[ ${#names[@]} != 0 ] || die "$tree/tools/sched_ext has no scheduler with a timer" "use a Linux $KERNEL_SERIES source"
	mkdir -p "$OUT"
	lock "$OUT.lock" "the schedulers for ${1##*/}"
	logged "clients: building ${names[*]} for ${1##*/}" "$log" ' (CLANG|CLNG|GEN|CC|LD|AR)' -- \
		make LLVM="${LLVM_SUFFIX:-1}" ARCH=x86 -j"$(nproc)" -C "$tree/tools/sched_ext" O="$OUT" \
		VMLINUX_BTF="$1/vmlinux" "${names[@]}" || failed "the schedulers did not build" "$log"
}

mkdir -p "$ROOT/out"
result=$ROOT/out/clients.txt
: >"$result.tmp"
status=0
for impl in "${IMPLS[@]}"; do
	kernel=$(built "$impl")
	build "$kernel"
	for name in "${names[@]}"; do
		say "clients: $name on ${kernel##*/}"
		"$SCRIPTS/vm.py" --kernel "$kernel" --cpus 4 --timeout 600 -- \
			"$SCRIPTS/clients-guest.sh" "$OUT/build/bin/$name" >"$OUT/$name.out" && verdict=pass || verdict=FAIL status=1
		[ "$verdict" = pass ] || cat "$OUT/$name.out" >&2
		printf '%-5s %-12s %-5s %s\n' "$impl" "$name" "$verdict" "$(tail -n 1 "$OUT/$name.out")" | tee -a "$result.tmp"
	done
done
mv "$result.tmp" "$result"
exit "$status"
