#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the kernel if need be and runs our KUnit suites and doctests in it.

. "$(dirname "$0")/lib.sh"

image=$("$SCRIPTS/kernel.sh")
image=${image##*$'\n'}
[ "${IMPL:-rust}" = rust ] || exec "$SCRIPTS/kunit.py" --c --kernel "${image%/arch/*}"
exec "$SCRIPTS/kunit.py" --kernel "${image%/arch/*}"
