// SPDX-License-Identifier: GPL-2.0
/* The helpers of the regression tests' loader. */
#include "../bpf/util.c"
