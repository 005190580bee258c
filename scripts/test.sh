#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Everything that must hold: what a machine can check by itself first, then
# the booted kernels, plain before debug before arm64. One line of counts at the end.
# A new step is a line here and a script.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/steps.sh"

unset KSRC CONFIG_EXTRA CPUS APPEND CASE ONLY
export IMPL=rust FLAVOR=plain ARCH=x86_64
mkdir -p "$ROOT/out"
STEPS_FILE=$ROOT/out/test.txt
: >"$STEPS_FILE"

# Also what is only needed for the checks (shellcheck): not in doctor's list.
ARCH=arm64 "$SCRIPTS/setup.sh"
export BPF_ASYNC_SETUP=1

# kernel IMPL [FLAVOR [ARCH]]: builds it; BUILD is its folder.
kernel() {
	BUILD=$(FLAVOR=${2:-plain} ARCH=${3:-x86_64} built "$1" --always)
}

# on_kernel COMMAND...: with the build folder of the step before as last word.
on_kernel() {
	[ -d "${BUILD:=}" ] || { say "there is no kernel to run it on" && return 1; }
	"$@" "$BUILD"
}

selftests() { "$SCRIPTS/selftests.py" --impl rust "$@"; }
regress() { selftests --own "$@"; }

for name in "${CHECKS[@]}"; do
	step "check: $name" "$SCRIPTS/check.sh" "$name"
done
step "litmus tests" "$SCRIPTS/litmus.sh"
step "models" "$SCRIPTS/host.sh"

step "kernel: rust" kernel rust
step "warnings: rust" on_kernel "$SCRIPTS/warnings.sh"
step "kunit: rust" on_kernel "$SCRIPTS/kunit.py" --kernel
step "sample: rust, out of tree" on_kernel "$SCRIPTS/sample.sh"
step "own program: rust" "$ROOT/tests/console/own_program/run.sh"
step "selftests: rust" on_kernel selftests --kernel-rust
step "own tests: rust" on_kernel regress --kernel-rust
step "instructions: rust" on_kernel "$SCRIPTS/bench.py" --impl rust --check --kernel-rust

BUILD=
step "kernel: rust, debug" kernel rust debug
step "warnings: rust, debug" on_kernel "$SCRIPTS/warnings.sh"
step "kunit: rust, debug" on_kernel "$SCRIPTS/kunit.py" --kernel
step "sample: rust, debug" on_kernel "$SCRIPTS/sample.sh"
step "selftests: rust, debug" on_kernel selftests --flavor debug --kernel-rust
step "own tests: rust, debug" on_kernel regress --flavor debug --kernel-rust

BUILD=
step "kernel: rust, arm64" kernel rust plain arm64
step "kunit: rust, arm64" on_kernel "$SCRIPTS/kunit.py" --kernel
step "selftests: rust, arm64" on_kernel selftests --arch arm64 --kernel-rust
finish
