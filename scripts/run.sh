#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The main job: both kernels, the kernel's own selftests on each, one table.

. "$(dirname "$0")/lib.sh"

start=$SECONDS
check_flavor
check_arch
check_source
ensure_setup
arguments=(--flavor "$FLAVOR" --arch "$ARCH")
for impl in c rust; do
	image=$(IMPL=$impl "$SCRIPTS/kernel.sh")
	image=${image##*$'\n'}
	arguments+=("--kernel-$impl" "${image%/arch/*}")
done
status=0
"$SCRIPTS/selftests.py" "${arguments[@]}" || status=$?
say "run: $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s in all"
exit "$status"
