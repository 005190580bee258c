// SPDX-License-Identifier: GPL-2.0
/* What tools that trace the kernel see of timers and work items. */
#include "async_common.h"


struct elem {
	struct bpf_timer timer;
	struct bpf_wq wq;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} traced SEC(".maps");

volatile u64 hits;	/* calls of the function that is looked at */
volatile u64 timer_object, work_object;
volatile u64 timer_function, work_function;	/* what they are seen to call */

static int timer_cb(void *map, int *key, struct elem *e)
{
	return 0;
}

static int wq_cb(void *map, int *key, void *value)
{
	return 0;
}

static __always_inline struct elem *new_elem(void)
{
	struct elem zero = {};
	int key = 0;

	bpf_map_update_elem(&traced, &key, &zero, BPF_ANY);
	return bpf_map_lookup_elem(&traced, &key);
}

/* All that there is, once. */
SEC("tc")
int life(struct __sk_buff *skb)
{
	struct elem *e = new_elem();
	int key = 0, err;

	if (!e)
		return 1;
	err = bpf_timer_init(&e->timer, &traced, CLOCK_MONOTONIC) ?:
	      bpf_timer_set_callback(&e->timer, timer_cb) ?:
	      bpf_timer_start(&e->timer, FAR, 0) ?:
	      bpf_wq_init(&e->wq, &traced, 0);
	if (bpf_timer_cancel(&e->timer) != 1)
		err = 1;
	return err ?: bpf_map_delete_elem(&traced, &key);
}

/* A callback of either kind. */
SEC("tc")
int fire(struct __sk_buff *skb)
{
	struct elem *e = new_elem();
	int err;

	if (!e)
		return 1;
	err = bpf_timer_init(&e->timer, &traced, CLOCK_MONOTONIC) ?:
	      bpf_timer_set_callback(&e->timer, timer_cb) ?:
	      bpf_wq_init(&e->wq, &traced, 0) ?:
	      bpf_wq_set_callback(&e->wq, wq_cb, 0);
	timer_object = object_of(&e->timer);
	work_object = object_of(&e->wq);
	return err ?: bpf_timer_start(&e->timer, 0, 0) ?: bpf_wq_start(&e->wq, 0);
}

/* The loader says at which function. */
SEC("fentry")
int at_fentry(void *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("kprobe")
int at_kprobe(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&hits, 1);
	return 0;
}

SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(on_expire, struct hrtimer *timer)
{
	u64 at = 0;

	bpf_probe_read_kernel(&at, sizeof(at), &timer);
	if (is_in(at, timer_object))
		timer_function = (u64)timer->function;
	return 0;
}

SEC("tp_btf/workqueue_execute_start")
int BPF_PROG(on_execute, struct work_struct *work)
{
	u64 at = 0;

	bpf_probe_read_kernel(&at, sizeof(at), &work);
	if (is_in(at, work_object))
		work_function = (u64)work->func;
	return 0;
}
