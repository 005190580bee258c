// SPDX-License-Identifier: GPL-2.0
/* One timer that hard interrupts of several CPUs start, as fast as they come. */
#include "async_common.h"

#define CPUS	8	/* a power of two */

struct elem {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} met SEC(".maps");

volatile u64 starts[CPUS];	/* that were accepted, by CPU */
volatile u64 refused, elsewhere, late;

static int timer_cb(void *map, int *key, struct elem *e)
{
	return 0;
}

static __always_inline struct bpf_timer *get(void)
{
	int key = 0;
	struct elem *e = bpf_map_lookup_elem(&met, &key);

	return e ? &e->timer : NULL;
}

SEC("tc")
int setup(struct __sk_buff *skb)
{
	struct bpf_timer *t = get();

	if (!t)
		return 1;
	return bpf_timer_init(t, &met, CLOCK_MONOTONIC) ?: bpf_timer_set_callback(t, timer_cb);
}

SEC("tc")
int is_armed(struct __sk_buff *skb)
{
	struct bpf_timer *t = get();

	return t ? bpf_timer_cancel_async(t) : -1;
}

SEC("perf_event")
int in_interrupt(struct bpf_perf_event_data *ctx)
{
	struct bpf_timer *t = get();

	/* Interrupts off and a hard interrupt, no NMI. */
	if ((bpf_async_test_context() & 7) != 6)
		__sync_fetch_and_add(&elsewhere, 1);
	if (t && !bpf_timer_start(t, FAR, 0))
		starts[bpf_get_smp_processor_id() & (CPUS - 1)]++;
	else
		__sync_fetch_and_add(&refused, 1);
	return 0;
}

/* Where what was left is performed, in task context. */
SEC("perf_event")
int on_late(struct bpf_perf_event_data *ctx)
{
	__sync_fetch_and_add(&late, 1);
	return 0;
}
