// SPDX-License-Identifier: GPL-2.0
/*
 * A program that is called under a lock that putting a program takes, with
 * interrupts on, and drops the last reference to another program there. Two
 * instances over one map: the owner, whose callback the timer has, and the
 * other one, which traces allocations.
 */
#include "async_common.h"
#include <bpf/bpf_core_read.h>

#define KEY	0

struct elem {
	struct bpf_timer timer;
	struct bpf_wq wq;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} kept SEC(".maps");

/* The same in prog_tests/async_put_locked.c. */
enum { MODE_OFF, TIMER_SET, TIMER_CANCEL, WORK_SET, DELETE };

volatile u32 on;	/* what to do, once */
volatile u32 task;	/* where: in this thread */
volatile u64 hits;	/* operations under the lock */
volatile s32 ret;

static int timer_cb(void *map, int *key, struct elem *e)
{
	return 0;
}

static int wq_cb(void *map, int *key, void *value)
{
	return 0;
}

/* The owner's callback in the element's timer (mark 0) or work item. */
SEC("tc")
int own(struct __sk_buff *skb)
{
	struct elem zero = {}, *e;
	int key = KEY;

	bpf_map_update_elem(&kept, &key, &zero, BPF_ANY);
	e = bpf_map_lookup_elem(&kept, &key);
	if (!e)
		return 1;
	if (skb->mark)
		return bpf_wq_init(&e->wq, &kept, 0) ?: bpf_wq_set_callback(&e->wq, wq_cb, 0);
	return bpf_timer_init(&e->timer, &kept, CLOCK_MONOTONIC) ?:
	       bpf_timer_set_callback(&e->timer, timer_cb) ?:
	       bpf_timer_start(&e->timer, FAR, 0);
}

/* In bpf_prog_alloc_id(): of the idr's cache, and not what is allocated before it has the lock. */
static __always_inline bool under_lock(struct kmem_cache *cache, gfp_t flags)
{
	const char *name = BPF_CORE_READ(cache, name);
	char text[16] = {};

	if (!(flags & (1U << ___GFP_HIGH_BIT)))
		return false;
	bpf_probe_read_kernel_str(text, sizeof(text), name);
	return !bpf_strncmp(text, sizeof(text), "radix_tree_node");
}

SEC("tp_btf/kmem_cache_alloc")
int BPF_PROG(on_alloc, unsigned long caller, const void *object, struct kmem_cache *cache,
	     gfp_t flags)
{
	int key = KEY;
	struct elem *e;
	u32 what = on;

	if (!what || (u32)bpf_get_current_pid_tgid() != task || !under_lock(cache, flags))
		return 0;
	on = MODE_OFF;
	hits++;
	e = bpf_map_lookup_elem(&kept, &key);
	if (!e)
		return 0;
	switch (what) {
	case TIMER_SET:
		ret = bpf_timer_set_callback(&e->timer, timer_cb);
		break;
	case TIMER_CANCEL:
		ret = bpf_timer_cancel(&e->timer);
		break;
	case WORK_SET:
		ret = bpf_wq_set_callback(&e->wq, wq_cb, 0);
		break;
	case DELETE:
		ret = bpf_map_delete_elem(&kept, &key);
		break;
	}
	return 0;
}
