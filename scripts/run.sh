#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The main job: both kernels, the kernel's own selftests on each, one table.

. "$(dirname "$0")/lib.sh"

start=$SECONDS
DEBUG='' check_debug
export DEBUG
ensure_setup
for IMPL in c rust; do
	IMPL=$IMPL "$SCRIPTS/kernel.sh" >/dev/null
done
status=0
"$SCRIPTS/selftests.py" || status=$?
say "run: $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s in all"
exit "$status"
