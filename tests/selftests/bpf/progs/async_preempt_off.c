// SPDX-License-Identifier: GPL-2.0
/*
 * Each operation with preemption disabled, and interrupts enabled, and init and cancel
 * in a task that is about to wait for a lock.
 */
#include "async_common.h"

extern void bpf_preempt_disable(void) __weak __ksym;
extern void bpf_preempt_enable(void) __weak __ksym;
extern void bpf_async_test_lock_waits(bool yes) __weak __ksym;

struct elem {
	struct bpf_timer timer;
	struct bpf_wq wq;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, int);
	__type(value, struct elem);
} elems SEC(".maps");

volatile s32 timer_init, wq_init;			/* with preemption disabled */
volatile s32 set, start, cancel, cancel_async;		/* the same, of a timer that is there */
volatile s32 wait_timer_init, wait_wq_init, wait_cancel;	/* on the way to wait for a lock */
volatile u32 ran;

static int timer_cb(void *map, int *key, struct elem *e)
{
	return 0;
}

static int wq_cb(void *map, int *key, void *e)
{
	ran = 1;
	return 0;
}

static __always_inline struct elem *get(int key)
{
	return bpf_map_lookup_elem(&elems, &key);
}

SEC("tc")
int inits(struct __sk_buff *skb)
{
	struct elem *e = get(0);

	if (!e)
		return 1;
	bpf_preempt_disable();
	timer_init = bpf_timer_init(&e->timer, &elems, CLOCK_MONOTONIC);
	wq_init = bpf_wq_init(&e->wq, &elems, 0);
	bpf_preempt_enable();
	return 0;
}

SEC("tc")
int operations(struct __sk_buff *skb)
{
	struct elem *e = get(1);

	if (!e)
		return 1;
	if (bpf_timer_init(&e->timer, &elems, CLOCK_MONOTONIC) || bpf_wq_init(&e->wq, &elems, 0) ||
	    bpf_wq_set_callback(&e->wq, wq_cb, 0))
		return 2;
	bpf_preempt_disable();
	set = bpf_timer_set_callback(&e->timer, timer_cb);
	start = bpf_timer_start(&e->timer, FAR, 0);
	cancel = bpf_timer_cancel(&e->timer);
	bpf_preempt_enable();
	if (bpf_timer_set_callback(&e->timer, timer_cb) || bpf_timer_start(&e->timer, FAR, 0))
		return 3;
	bpf_preempt_disable();
	cancel_async = bpf_timer_cancel_async(&e->timer);
	bpf_wq_start(&e->wq, 0);
	bpf_preempt_enable();
	return 0;
}

SEC("tc")
int lock_waits(struct __sk_buff *skb)
{
	struct elem *e = get(2), *there = get(1);

	if (!e || !there || bpf_timer_set_callback(&there->timer, timer_cb) ||
	    bpf_timer_start(&there->timer, FAR, 0))
		return 1;
	bpf_async_test_lock_waits(true);
	wait_timer_init = bpf_timer_init(&e->timer, &elems, CLOCK_MONOTONIC);
	wait_wq_init = bpf_wq_init(&e->wq, &elems, 0);
	wait_cancel = bpf_timer_cancel(&there->timer);
	bpf_async_test_lock_waits(false);
	return 0;
}
