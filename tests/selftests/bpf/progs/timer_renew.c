// SPDX-License-Identifier: GPL-2.0
/*
 * A program where a deferred start arms its timer replaces the element
 * and starts the new timer: each start is of an object that was never seen before.
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
} renewed SEC(".maps");

u64 limit;		/* a chain this long is called endless */
volatile u32 on;
volatile u64 chain, longest, hits, refused;
volatile s32 last_ret;

static int timer_cb(void *map, int *key, struct elem *e)
{
	return 0;
}

static __always_inline struct elem *get(void)
{
	int key = 0;

	return bpf_map_lookup_elem(&renewed, &key);
}

static __always_inline int up(struct elem *e)
{
	return bpf_timer_init(&e->timer, &renewed, CLOCK_MONOTONIC) ?:
	       bpf_timer_set_callback(&e->timer, timer_cb) ?:
	       bpf_timer_start(&e->timer, FAR, 0);
}

static __always_inline int renew(void)
{
	struct elem zero = {}, *e = get();
	int key = 0;

	if (!e)
		return -2;
	bpf_map_update_elem(&renewed, &key, &zero, BPF_ANY);
	return up(e);
}

/* With the interrupts off: done, and the chain begun, as soon as they are on again. */
SEC("tc")
int start(struct __sk_buff *skb)
{
	unsigned long flags;
	int err;

	chain = 0;
	on = 1;
	bpf_local_irq_save(&flags);
	err = renew();
	bpf_local_irq_restore(&flags);
	return err;
}

/* At once: the breakpoint is hit, and the element replaced, inside of the task's own start. */
SEC("tc")
int start_inline(struct __sk_buff *skb)
{
	struct elem zero = {}, *e = get();
	int key = 0;

	if (!e)
		return 1;
	chain = 0;
	on = 1;
	bpf_map_update_elem(&renewed, &key, &zero, BPF_ANY);
	bpf_timer_init(&e->timer, &renewed, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&e->timer, timer_cb);
	bpf_timer_start(&e->timer, FAR, 0);
	return 0;
}

SEC("tc")
int is_armed(struct __sk_buff *skb)
{
	struct elem *e = get();

	on = 0;
	return e ? bpf_timer_cancel_async(&e->timer) : -1;
}

static __always_inline int started(u64 timer)
{
	struct elem *e = get();

	if (!on || !e || !is_in(timer, object_of(&e->timer)))
		return 0;
	hits++;
	if (chain >= limit)
		return 0;
	last_ret = renew();
	if (last_ret)
		refused++;
	else if (++chain > longest)
		longest = chain;
	return 0;
}

SEC("perf_event")
int on_start(struct bpf_perf_event_data *ctx)
{
	return started(PT_REGS_PARM1(&ctx->regs));
}

/* The same, not as an NMI, where debug objects take a lock. */
SEC("kprobe/hrtimer_start_range_ns")
int on_start_debug(struct pt_regs *ctx)
{
	return started(PT_REGS_PARM1(ctx));
}
