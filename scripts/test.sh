#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Everything that must hold: what a machine can check by itself first, then
# the booted kernels, plain before debug. One line of counts at the end.
# A new step is a line here and a script.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/steps.sh"

unset KSRC KVER
export IMPL=rust DEBUG=''

# Also what is only needed for the checks (shellcheck): not in doctor's list.
"$SCRIPTS/setup.sh"
export BPF_ASYNC_SETUP=1

# kernel IMPL [DEBUG]: builds it; BUILD is its folder.
kernel() {
	BUILD=$(IMPL=$1 DEBUG=${2:-} "$SCRIPTS/kernel.sh") || return
	BUILD=${BUILD##*$'\n'}
	BUILD=${BUILD%/arch/*}
}

# On the kernel of the step before; without one there is nothing to try.
selftests() {
	[ -d "${BUILD:=}" ] || { say "there is no kernel to run them on" && return 1; }
	"$SCRIPTS/selftests.py" --impl rust --kernel-rust "$BUILD" "$@"
}

for name in licence shell python rustfmt units anchors; do
	step "check: $name" "$SCRIPTS/check.sh" "$name"
done
step "kernel: rust" kernel rust
step "selftests: rust" selftests
BUILD=
step "kernel: rust, debug" kernel rust 1
step "selftests: rust, debug" selftests --debug
finish
