/* SPDX-License-Identifier: GPL-2.0 */
/* What the loader's parts share, each a mode of it. */
#ifndef LOADER_H
#define LOADER_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/types.h>

typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#include "bench.h"

/* util.c */
uint64_t now_ns(void);
void poll_pause(void);
bool pin_cpu(int cpu);
int run_prog(int fd, __u32 mark);
/* Poll cond, which user space sees change, until it holds: false after s. */
#define WAIT_UNTIL(cond, s) ({					\
	uint64_t end_ = now_ns() + (uint64_t)((s) * 1e9);	\
	bool ok_;						\
	while (!(ok_ = (cond)) && now_ns() < end_)		\
		poll_pause();					\
	ok_;							\
})

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
