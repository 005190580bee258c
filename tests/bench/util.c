// SPDX-License-Identifier: GPL-2.0
/* The helpers of the regression tests' loader. */
#include "../bpf/util.c"

/* bench.py starts the machine with as many as are used. */
void needs_cpus(int n)
{
}
