#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [ONLY='arm64 rt ...'] test-all.sh: what make test leaves out because of the time
# it takes: other machines, flavours and odd machines, C beside Rust, programs
# of the kernel's source that use timers, each configuration, and each patch.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/steps.sh"

unset KSRC CONFIG_EXTRA SERIES CPUS APPEND CASE
export IMPL=both FLAVOR=plain ARCH=x86_64
mkdir -p "$ROOT/out"
STEPS_FILE=$ROOT/out/test-all.txt
PARTS=(arm64 rt cfi up nolapic debug clients matrix patches)

read -ra parts <<<"${ONLY:-${PARTS[*]}}"
for part in "${parts[@]}"; do
	[[ " ${PARTS[*]} " == *" $part "* ]] ||
		die "there is no part '$part'" "take some of: ${PARTS[*]}"
done
# Matrix and patches have an ONLY of their own.
unset ONLY
: >"$STEPS_FILE"
ARCH=arm64 "$SCRIPTS/setup.sh"
export BPF_ASYNC_SETUP=1

selftests() {
	local c rust
	c=$(built c) && rust=$(built rust) || return
	"$SCRIPTS/selftests.py" --flavor "$FLAVOR" --arch "$ARCH" --kernel-c "$c" --kernel-rust "$rust" "$@"
}
sample() { "$SCRIPTS/sample.sh" "$(built rust)"; }

# outline TARGET: with helpers that are called.
outline() {
	echo CONFIG_RUST_INLINE_HELPERS=n >"$CACHE/outline.config"
	IMPL=rust CONFIG_EXTRA=$CACHE/outline.config "$SCRIPTS/target.sh" "$1"
}

# kernels NAME: both, and what runs on each machine and flavour.
kernels() {
	step "kernel: C, $1" built c
	step "kernel: Rust, $1" built rust
	step "kunit: $1" env IMPL=rust "$SCRIPTS/target.sh" kunit
	step "sample: $1" sample
	step "selftests: $1" selftests
	step "own tests: $1" "$SCRIPTS/target.sh" regress
}

for part in "${parts[@]}"; do
	FLAVOR=plain ARCH=x86_64
	case $part in
	arm64) ARCH=arm64 && kernels "$part" ;;
	rt | up | debug) FLAVOR=$part && kernels "$part" ;;
	cfi)
		FLAVOR=cfi && kernels "$part"
		step "selftests: cfi=kcfi" selftests --append cfi=kcfi
		step "kunit: cfi, RUST_INLINE_HELPERS=n" outline kunit
		step "own tests: cfi, RUST_INLINE_HELPERS=n" outline regress
		;;
	nolapic)
		step "own tests: one CPU" env CPUS=1 "$SCRIPTS/target.sh" regress
		step "own tests: one CPU, no irq_work interrupt" env CPUS=1 APPEND=nolapic "$SCRIPTS/target.sh" regress
		;;
	clients) step "clients" "$SCRIPTS/clients.sh" ;;
	matrix) step "matrix" "$SCRIPTS/matrix.sh" ;;
	patches)
		step "patches" env CHECK=1 "$SCRIPTS/patches.sh"
		step "patches: c-fixes" env CHECK=1 SERIES=c-fixes "$SCRIPTS/patches.sh"
		;;
	esac
done
finish
