#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the kernel if need be and runs CMD in it, or with --shell a shell. The
# bpftool of make bpf-dev comes first in PATH, once it is there.

. "$(dirname "$0")/lib.sh"

mode=${1:-}
[ -n "${CMD:-}" ] || [ "$mode" = --shell ] ||
	die "CMD is empty" "say for instance: make vm CMD='uname -r'"
[[ ${CPUS:=2} =~ ^[1-9][0-9]*$ ]] || die "CPUS is a number from 1, not '$CPUS'" "say for instance CPUS=2"
[[ ${TIMEOUT:-300} =~ ^[1-9][0-9]*$ ]] ||
	die "TIMEOUT is a number of seconds, not '$TIMEOUT'" "say for instance TIMEOUT=300"
[ -z "${TIMEOUT:-}" ] || export BPF_ASYNC_WAIT=$TIMEOUT

check_arch
image=$("$SCRIPTS/kernel.sh")
image=${image##*$'\n'}
arguments=(--kernel "$image" --cpus "$CPUS")
tools=$(bpf_tools "${image%/arch/*}")
[ "$ARCH" != x86_64 ] || [ ! -x "$tools/bpftool" ] || arguments+=(--path "$tools")
[ -z "${APPEND:-}" ] || arguments+=(--append "$APPEND")
if [ "$mode" = --shell ]; then
	exec "$SCRIPTS/vm.py" "${arguments[@]}" --shell
fi
exec "$SCRIPTS/vm.py" "${arguments[@]}" --timeout "${TIMEOUT:-300}" -- "$CMD"
