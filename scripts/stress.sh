#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [IMPL=rust|c] [FLAVOR=debug|...] stress.sh [SECONDS [SEED]]: builds the kernel if
# need be and does everything to timers and work queues on it, at random. The
# length is an argument: bash has a SECONDS of its own.

. "$(dirname "$0")/lib.sh"

check_impl
check_flavor
check_arch
[ $# -le 2 ] || die "stress.sh takes SECONDS and SEED, not '$*'" "say for instance: make stress SECONDS=60"
arguments=(--impl "$IMPL" --flavor "$FLAVOR" --arch "$ARCH")
[[ ${1:-60} =~ ^[1-9][0-9]*$ ]] || die "SECONDS is a number from 1, not '$1'" "say for instance: make stress SECONDS=60"
[[ ${2:-0} =~ ^(0|[1-9][0-9]*)$ ]] || die "SEED is a number, not '$2'" "take the seed that an earlier run printed, or leave it out"
[ -z "${1:-}" ] || arguments+=(--seconds "$1")
[ -z "${2:-}" ] || arguments+=(--seed "$2")
image=$("$SCRIPTS/kernel.sh")
image=${image##*$'\n'}
exec "$SCRIPTS/stress.py" "${arguments[@]}" --kernel "${image%/arch/*}"
