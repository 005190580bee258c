// SPDX-License-Identifier: GPL-2.0
/*
 * A timer that is cancelled by what traces its expiry, before and after its
 * callback: the cancel would wait for what it is called in.
 */
#include "async_common.h"

struct elem {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} elems SEC(".maps");

/* The same in prog_tests/timer_waits.c. */
enum { MODE_OFF, BEFORE, AFTER };

volatile u32 on;	/* when to cancel */
volatile u64 begun, ended, fired, over;
volatile s32 ret;	/* what the cancel answered */

static __always_inline struct elem *get(void)
{
	int key = 0;

	return bpf_map_lookup_elem(&elems, &key);
}

static int timer_cb(void *map, int *key, struct elem *e)
{
	__sync_fetch_and_add(&fired, 1);
	return 0;
}

/* Start it on this CPU, to fire at once: perhaps before this returns. */
SEC("tc")
int start(struct __sk_buff *skb)
{
	struct elem *e = get();

	if (!e)
		return 1;
	return bpf_timer_init(&e->timer, &elems, CLOCK_MONOTONIC) ?:
	       bpf_timer_set_callback(&e->timer, timer_cb) ?:
	       bpf_timer_start(&e->timer, 0, BPF_F_TIMER_CPU_PIN);
}

static __always_inline int cancel_in_expiry(u64 timer, u32 when)
{
	struct elem *e = get();

	if (on != when || !e || !is_in(timer, object_of(&e->timer)))
		return 0;
	__sync_fetch_and_add(&begun, 1);
	ret = bpf_timer_cancel(&e->timer);
	__sync_fetch_and_add(&ended, 1);
	return 0;
}

SEC("raw_tp/hrtimer_expire_entry")
int before(struct bpf_raw_tracepoint_args *ctx)
{
	return cancel_in_expiry(ctx->args[0], BEFORE);
}

SEC("raw_tp/hrtimer_expire_exit")
int after(struct bpf_raw_tracepoint_args *ctx)
{
	struct elem *e = get();

	cancel_in_expiry(ctx->args[0], AFTER);
	if (e && is_in(ctx->args[0], object_of(&e->timer)))
		__sync_fetch_and_add(&over, 1);
	return 0;
}
