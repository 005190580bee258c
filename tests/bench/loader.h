/* SPDX-License-Identifier: GPL-2.0 */
/* What the loader's parts share, each a mode of it. */
#ifndef LOADER_H
#define LOADER_H

#include "../bpf/regress.h"
#include "bench.h"

/* End with a line that says what about which is wrong. */
void die(const char *what, const char *name, long value) __attribute__((noreturn));

/* What counts instructions, as bpf_async_bench_count() does. */
static inline __u64 count(void)
{
#ifdef __aarch64__
	__u64 value;

	asm volatile("isb; mrs %0, cntvct_el0" : "=r"(value) : : "memory");
	return value;
#else
	return __builtin_ia32_rdtsc();
#endif
}

/* Let RCU, workqueues and irq_works finish. With -icount sleep=off it takes no time. */
void settle(void);

void count_main(int argc, char **argv);
void trace_main(void);
void scale_main(int argc, char **argv);
void memory_main(void);
void load_main(void);

#endif
