// SPDX-License-Identifier: GPL-2.0
/* How many ticks it takes until what was deferred is performed. */
#include "async_common.h"


struct elem {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} deferred SEC(".maps");

volatile u64 ticks, asked, performed, object;
volatile u32 done;

static int timer_cb(void *map, int *key, struct elem *e)
{
	return 0;
}

SEC("tc")
int start(struct __sk_buff *skb)
{
	int key = 0, err;
	struct elem *e = bpf_map_lookup_elem(&deferred, &key);
	unsigned long flags;

	if (!e)
		return 1;
	bpf_timer_init(&e->timer, &deferred, CLOCK_MONOTONIC);
	object = object_of(&e->timer);
	err = bpf_timer_set_callback(&e->timer, timer_cb);
	bpf_local_irq_save(&flags);
	done = 0;
	asked = ticks;
	err = err ?: bpf_timer_start(&e->timer, FAR, 0);
	bpf_local_irq_restore(&flags);
	return err;
}

SEC("fentry/update_process_times")
int on_tick(void *ctx)
{
	ticks++;
	return 0;
}

SEC("tp_btf/hrtimer_start")
int BPF_PROG(on_start, struct hrtimer *timer)
{
	u64 at = 0;

	bpf_probe_read_kernel(&at, sizeof(at), &timer);
	if (is_in(at, object)) {
		performed = ticks;
		done = 1;
	}
	return 0;
}
