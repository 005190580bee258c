#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# kmake.sh ARGUMENTS...: the kernel's make with the compilers this repository
# found, for what is done by hand: kmake.sh -C <build folder> M=$PWD

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
find_toolchain
exec "${KMAKE[@]}" "$@"
