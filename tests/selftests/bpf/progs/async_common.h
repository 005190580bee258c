/* SPDX-License-Identifier: GPL-2.0 */
/* What every BPF program of the tests of bpf_timer and bpf_wq uses. */
#ifndef __ASYNC_COMMON_H
#define __ASYNC_COMMON_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define CLOCK_REALTIME	0
#define CLOCK_MONOTONIC	1
#define CLOCK_BOOTTIME	7

#define FAR	3600000000000ULL	/* an hour: never in a test */

/*
 * A wait in a program ends after so many turns, a minute or so of nothing else.
 * As for the loader's waits, this is to end, and says nothing about speed.
 */
#define WAIT_INNER	(1 << 20)
#define WAIT_OUTER	(1 << 10)

/* vmlinux.h has them where pahole writes prototypes of kfuncs. */
extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __weak __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __weak __ksym;
extern int bpf_wq_set_callback(struct bpf_wq *wq,
			       int (cb)(void *map, int *key, void *value),
			       unsigned int flags) __weak __ksym;
extern int bpf_timer_cancel_async(struct bpf_timer *timer) __weak __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __weak __ksym;

/* test_kmods/bpf_async_test.c */
extern void bpf_async_test_nmi(u64 arg) __weak __ksym;
extern u32 bpf_async_test_context(void) __weak __ksym;

/* Where the object of the timer in this slot is: the slot begins with one pointer to it. */
static __always_inline u64 object_of(void *slot)
{
	u64 object = 0;

	bpf_probe_read_kernel(&object, sizeof(object), slot);
	return object;
}

/* Whether the address is in the object, of which none is larger than this. */
static __always_inline bool is_in(u64 address, u64 object)
{
	return object && address - object < 256;
}

char _license[] SEC("license") = "GPL";

#endif
