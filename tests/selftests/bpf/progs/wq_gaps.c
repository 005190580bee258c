// SPDX-License-Identifier: GPL-2.0
/*
 * A work item whose work function is held somewhere, in two halves.
 * The victim has the map and the callback, and may be unloaded; the observer
 * stays, has the globals of both, and sees the work function begin and end.
 */
#include "async_common.h"

#define MAGIC	0x1234567887654321ULL

struct elem {
	struct bpf_wq wq;
	u64 magic;
};

struct wq_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} victims SEC(".maps"), inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, int);
	__array(values, struct wq_map);
} outer SEC(".maps") = { .values = { &inner } };

volatile u64 called, broken;	/* the callback */
volatile u64 begun, ended;	/* the work function */
volatile u64 queued;		/* the work item */
u64 work_function;		/* its address */
volatile u64 object, freed;	/* what start_again() has started */
s32 result;

static int callback(void *map, int *key, void *value)
{
	struct elem *e = value;

	__sync_fetch_and_add(&called, 1);
	if (e->magic != MAGIC)
		__sync_fetch_and_add(&broken, 1);
	return 0;
}

static int callback2(void *map, int *key, void *value)
{
	return callback(map, key, value);
}

static __always_inline struct elem *lookup(void)
{
	int key = 0;

	return bpf_map_lookup_elem(&victims, &key);
}

static __always_inline int start(struct elem *e, void *map)
{
	int err;

	e->magic = MAGIC;
	err = bpf_wq_init(&e->wq, map, 0);
	if (!err)
		err = bpf_wq_set_callback(&e->wq, callback, 0);
	if (!err)
		err = bpf_wq_start(&e->wq, 0);
	return err;
}

SEC("tc")
int arm(struct __sk_buff *skb)
{
	struct elem *e = lookup();

	result = e ? start(e, &victims) : -2;
	return 0;
}

/* The same in a map that the program does not keep. */
SEC("tc")
int arm_inner(struct __sk_buff *skb)
{
	struct elem *e;
	void *map;
	int key = 0;

	result = -2;
	map = bpf_map_lookup_elem(&outer, &key);
	if (!map)
		return 0;
	e = bpf_map_lookup_elem(map, &key);
	if (e)
		result = start(e, map);
	return 0;
}

SEC("tc")
int set_callback(struct __sk_buff *skb)
{
	struct elem *e = lookup();

	if (!e)
		return 0;
	if (skb->mark)
		result = bpf_wq_set_callback(&e->wq, callback2, 0);
	else
		result = bpf_wq_set_callback(&e->wq, callback, 0);
	return 0;
}

SEC("tc")
int start_again(struct __sk_buff *skb)
{
	struct elem *e = lookup();

	if (!e)
		return 0;
	object = object_of(&e->wq);
	result = bpf_wq_start(&e->wq, 0);
	return 0;
}

SEC("tp_btf/workqueue_queue_work")
int BPF_PROG(see_queue, int cpu, void *pwq, struct work_struct *work)
{
	if ((u64)work->func == work_function)
		__sync_fetch_and_add(&queued, 1);
	return 0;
}

static __always_inline int see_free(u64 p)
{
	if (p && p == object)
		__sync_fetch_and_add(&freed, 1);
	return 0;
}

SEC("fentry/kfree")
int BPF_PROG(see_kfree, const void *p)
{
	return see_free((u64)p);
}

SEC("fentry/kfree_nolock")
int BPF_PROG(see_kfree_nolock, const void *p)
{
	return see_free((u64)p);
}

SEC("tp_btf/workqueue_execute_start")
int BPF_PROG(see_start, struct work_struct *work)
{
	if ((u64)work->func == work_function)
		__sync_fetch_and_add(&begun, 1);
	return 0;
}

SEC("tp_btf/workqueue_execute_end")
int BPF_PROG(see_end, struct work_struct *work, void *function)
{
	if ((u64)function == work_function)
		__sync_fetch_and_add(&ended, 1);
	return 0;
}
