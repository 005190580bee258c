// SPDX-License-Identifier: GPL-2.0
/*
 * A program that looks a value up, deletes the element, and then makes a timer
 * of the stale value: in a hash without preallocation its memory is another
 * element's next.
 */
#include "async_common.h"


struct elem {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16);
	__type(key, int);
	__type(value, struct elem);
} stale SEC(".maps");

volatile u64 memory, again;	/* where the stale value is, and one that has the memory next */
volatile u32 fired, fired_key;
volatile s32 ret;

static int old_cb(void *map, int *key, struct elem *e)
{
	fired_key = *key;
	__sync_fetch_and_add(&fired, 1);
	return 0;
}

static __always_inline u64 number(void *pointer)
{
	u64 at = 0;

	bpf_probe_read_kernel(&at, sizeof(at), &pointer);
	return at;
}

/* Key 1, up to a timer that no program can reach. */
SEC("tc")
int lose(struct __sk_buff *skb)
{
	struct elem zero = {}, *e;
	int key = 1;

	bpf_map_update_elem(&stale, &key, &zero, BPF_ANY);
	e = bpf_map_lookup_elem(&stale, &key);
	if (!e)
		return 1;
	memory = number(e);
	bpf_map_delete_elem(&stale, &key);
	ret = bpf_timer_init(&e->timer, &stale, CLOCK_MONOTONIC) ?:
	      bpf_timer_set_callback(&e->timer, old_cb) ?:
	      bpf_timer_start(&e->timer, FAR, 0);
	return 0;
}

/* Another key: what its init answers, and what its timer calls without a callback of its own. */
SEC("tc")
int reuse(struct __sk_buff *skb)
{
	struct elem zero = {}, *e;
	int key = skb->mark;

	bpf_map_update_elem(&stale, &key, &zero, BPF_ANY);
	e = bpf_map_lookup_elem(&stale, &key);
	if (!e)
		return 1;
	again = number(e);
	if (again != memory)
		return 0;
	ret = bpf_timer_init(&e->timer, &stale, CLOCK_MONOTONIC);
	bpf_timer_start(&e->timer, 0, 0);
	return 0;
}
