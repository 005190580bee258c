#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Everything that must hold: what a machine can check by itself first, then
# the booted kernels, plain before debug before arm64. One line of counts at the end.
# A new step is a line here and a script.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/steps.sh"

export IMPL=rust
begin test

# kernel NAME: builds that of FLAVOR and ARCH; BUILD is its folder.
kernel() {
	BUILD=
	step "kernel: $1" build
}
build() { BUILD=$(built rust --always); }

# on_kernel COMMAND...: with the build folder of the step before as last word.
on_kernel() {
	[ -d "$BUILD" ] || { say "there is no kernel to run it on" && return 1; }
	"$@" "$BUILD"
}

selftests() { "$SCRIPTS/selftests.py" --impl rust --flavor "$FLAVOR" --arch "$ARCH" "$@"; }

for name in "${CHECKS[@]}"; do
	step "check: $name" "$SCRIPTS/check.sh" "$name"
done
step "litmus tests" "$SCRIPTS/litmus.sh"
step "models" "$SCRIPTS/host.sh"

for FLAVOR in plain debug; do
	name=rust
	[ "$FLAVOR" = plain ] || name="rust, $FLAVOR"
	kernel "$name"
	step "warnings: $name" on_kernel "$SCRIPTS/warnings.sh"
	step "kunit: $name" on_kernel "$SCRIPTS/kunit.py" --kernel
	step "sample: ${name/%rust/rust, out of tree}" on_kernel "$SCRIPTS/sample.sh"
	[ "$FLAVOR" != plain ] || step "own program: rust" "$ROOT/tests/console/own_program/run.sh"
	step "selftests: $name" on_kernel selftests --kernel-rust
	step "own tests: $name" on_kernel selftests --own --kernel-rust
	[ "$FLAVOR" != plain ] ||
		step "instructions: rust" on_kernel "$SCRIPTS/bench.py" --impl rust --check --kernel-rust
done

FLAVOR=plain ARCH=arm64
kernel "rust, arm64"
step "kunit: rust, arm64" on_kernel "$SCRIPTS/kunit.py" --kernel
step "selftests: rust, arm64" on_kernel selftests --kernel-rust
finish
