#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [ONLY='arm64 rt ...'] test-all.sh: what make test leaves out because of the time
# it takes: other machines, flavours and odd machines, C beside Rust, programs
# of the kernel's source that use timers, each configuration, and each patch.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/steps.sh"

PARTS=(arm64 rt cfi up nolapic debug clients matrix patches)

read -ra parts <<<"${ONLY:-${PARTS[*]}}"
for part in "${parts[@]}"; do
	[[ " ${PARTS[*]} " == *" $part "* ]] || die "there is no part '$part'" "take some of: ${PARTS[*]}"
done
export IMPL=both
begin test-all

selftests() {
	local c rust
	c=$(built c) && rust=$(built rust) || return
	"$SCRIPTS/selftests.py" --flavor "$FLAVOR" --arch "$ARCH" --kernel-c "$c" --kernel-rust "$rust" "$@"
}
sample() { "$SCRIPTS/sample.sh" "$(built rust)"; }
regress() { env "$@" "$SCRIPTS/target.sh" regress; }
kunit() { env IMPL=rust "$@" "$SCRIPTS/target.sh" kunit; }

# With helpers that are called.
OUTLINE=(IMPL=rust CONFIG_EXTRA="$CACHE/outline.config")
echo CONFIG_RUST_INLINE_HELPERS=n >"$CACHE/outline.config"

# kernels NAME: both, and what runs on each machine and flavour.
kernels() {
	step "kernel: C, $1" built c
	step "kernel: Rust, $1" built rust
	step "kunit: $1" kunit
	step "sample: $1" sample
	step "selftests: $1" selftests
	step "own tests: $1" regress
}

for part in "${parts[@]}"; do
	FLAVOR=plain ARCH=x86_64
	case $part in
	arm64)
		ARCH=arm64 && kernels "$part"
		step "instructions: arm64" "$SCRIPTS/target.sh" bench
		;;
	rt | up | debug) FLAVOR=$part && kernels "$part" ;;
	cfi)
		FLAVOR=cfi && kernels "$part"
		step "selftests: cfi=kcfi" selftests --append cfi=kcfi
		step "kunit: cfi, RUST_INLINE_HELPERS=n" kunit "${OUTLINE[@]}"
		step "own tests: cfi, RUST_INLINE_HELPERS=n" regress "${OUTLINE[@]}"
		;;
	nolapic)
		step "kunit: one CPU" kunit CPUS=1
		step "own tests: one CPU" regress CPUS=1
		step "kunit: one CPU, no irq_work interrupt" kunit CPUS=1 APPEND=nolapic
		step "own tests: one CPU, no irq_work interrupt" regress CPUS=1 APPEND=nolapic
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
