#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [IMPL=rust|c|both] [ARCH=arm64] [ONLY=name] bench.sh [OPTION...]: builds the kernels if
# need be and measures on them, everything or what ONLY names (one of bench.py's
# parts, or operations that begin so). The options are bench.py's.

. "$(dirname "$0")/lib.sh"

# Other kernels count their own checks; their build must not be asked for either.
export FLAVOR=plain
check_arch
case ${IMPL:=both} in
rust | c) impls=("$IMPL") ;;
both) impls=(c rust) ;;
*) die "IMPL is rust, c or both, not '$IMPL'" "say for instance: make bench IMPL=both" ;;
esac
arguments=(--impl "$IMPL" --arch "$ARCH")
[ -z "${ONLY:-}" ] || arguments+=(--only "$ONLY")
"$SCRIPTS/bench.py" "${arguments[@]}" "$@" --dry-run
for impl in "${impls[@]}"; do
	image=$(IMPL=$impl "$SCRIPTS/kernel.sh")
	image=${image##*$'\n'}
	arguments+=("--kernel-$impl" "${image%/arch/*}")
done
exec "$SCRIPTS/bench.py" "${arguments[@]}" "$@"
