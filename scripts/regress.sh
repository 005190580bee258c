#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# IMPL=rust|c|both [FLAVOR=debug|...] [CPUS=n] [APPEND=words] [CASE=name]
# regress.sh: builds the kernels if need be and runs our own selftests on them.

. "$(dirname "$0")/lib.sh"

case ${IMPL:=rust} in
rust | c) impls=("$IMPL") ;;
both) impls=(c rust) ;;
*) die "IMPL is rust, c or both, not '$IMPL'" "say for instance: make regress IMPL=both" ;;
esac
check_flavor
check_arch
arguments=(--own --impl "$IMPL" --flavor "$FLAVOR" --arch "$ARCH")
[ -z "${CPUS:-}" ] || arguments+=(--cpus "$CPUS")
[ -z "${APPEND:-}" ] || arguments+=(--append "$APPEND")
[ -z "${CASE:-}" ] || arguments+=(--only "$CASE")
for impl in "${impls[@]}"; do
	image=$(IMPL=$impl "$SCRIPTS/kernel.sh")
	image=${image##*$'\n'}
	arguments+=("--kernel-$impl" "${image%/arch/*}")
done
exec "$SCRIPTS/selftests.py" "${arguments[@]}"
