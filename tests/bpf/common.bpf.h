/* SPDX-License-Identifier: GPL-2.0 */
/* Declarations every BPF program here uses. */
#ifndef COMMON_BPF_H
#define COMMON_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "shared.h"

#define CLOCK_REALTIME	0
#define CLOCK_MONOTONIC	1
#define CLOCK_BOOTTIME	7

#define noinline_bpf	static __attribute__((noinline))

/* pahole 1.24 writes no kfunc prototypes into vmlinux.h: these are them. */
extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __weak __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __weak __ksym;
extern int bpf_wq_set_callback(struct bpf_wq *wq,
			       int (cb)(void *map, int *key, void *value),
			       unsigned int flags) __weak __ksym;
extern int bpf_timer_cancel_async(struct bpf_timer *timer) __weak __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __weak __ksym;

/* tests/kmod/bpf_async_test.c */
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
