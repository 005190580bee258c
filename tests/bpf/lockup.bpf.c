// SPDX-License-Identifier: GPL-2.0
/*
 * Timers used from where the kernel holds locks: inside hrtimer_start() (H10,
 * H11), under the run queue's lock (H12, H14), inside call_rcu() (H13), and on
 * a CPU that is going away (H29). Each program does nothing until switched on.
 */
#include "common.bpf.h"

#define ELEMS	4
#define FAR	3600000000000ULL
#define CHAIN_LIMIT	1000	/* a chain this long is called endless */
#define OBJECT_SIZE	256	/* no object is larger */

struct elem {
	struct bpf_timer timer;
	struct bpf_wq wq;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ELEMS);
	__type(key, int);
	__type(value, struct elem);
} locked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ELEMS);
	__type(key, int);
	__type(value, struct elem);
} locked_hash SEC(".maps");

volatile u32 on;	/* which program is switched on */
volatile u32 cpu_only;	/* H29: the CPU that goes away */
volatile u32 budget;	/* H13: one more free inside call_rcu() */
volatile u64 hits, chain, fired, frees, queued;
volatile s32 last_ret;

/* The same in lockup.c. */
enum { OFF, SAME, PAIR, RQ_LOCK, CALL_RCU, DYING };

static int timer_cb(void *map, int *key, struct elem *e)
{
	__sync_fetch_and_add(&fired, 1);
	return 0;
}

static int wq_cb(void *map, int *key, void *e)
{
	__sync_fetch_and_add(&fired, 1);
	return 0;
}

static __always_inline struct elem *get(int key)
{
	return bpf_map_lookup_elem(&locked, &key);
}

static __always_inline int up(void *map, struct elem *e, u64 nsecs)
{
	int err = bpf_timer_init(&e->timer, map, CLOCK_MONOTONIC);

	if (!err)
		err = bpf_timer_set_callback(&e->timer, timer_cb);
	if (!err)
		err = bpf_timer_start(&e->timer, nsecs, 0);
	return err;
}

/* Set up timer skb->mark, or start it again if it is there. */
SEC("tc")
int start(struct __sk_buff *skb)
{
	struct elem *e = get(skb->mark & (ELEMS - 1));

	if (!e)
		return 0;
	last_ret = bpf_timer_init(&e->timer, &locked, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&e->timer, timer_cb);
	last_ret = bpf_timer_start(&e->timer, FAR, 0);
	return 0;
}

SEC("tc")
int start_irqs_off(struct __sk_buff *skb)
{
	struct elem *e = get(skb->mark & (ELEMS - 1));
	unsigned long flags;

	if (!e)
		return 0;
	bpf_local_irq_save(&flags);
	last_ret = bpf_timer_start(&e->timer, 1000, 0);
	bpf_local_irq_restore(&flags);
	return 0;
}

SEC("tc")
int is_armed(struct __sk_buff *skb)
{
	struct elem *e = get(skb->mark & (ELEMS - 1));

	last_ret = e ? bpf_timer_cancel_async(&e->timer) : -2;
	return 0;
}

/* The slot of an element is one pointer to the object that holds the hrtimer. */
static __always_inline bool is_of(u64 timer, struct elem *e)
{
	u64 object = 0;

	bpf_probe_read_kernel(&object, sizeof(object), &e->timer);
	return object && timer - object < OBJECT_SIZE;
}

/* H10, H11: every start of a timer of ours starts it, or the other one, again. */
SEC("raw_tp/hrtimer_start")
int on_start(struct bpf_raw_tracepoint_args *ctx)
{
	u64 timer = ctx->args[0];
	struct elem *e, *f, *again;
	u32 mode = on;

	if ((mode != SAME && mode != PAIR) || chain >= CHAIN_LIMIT)
		return 0;
	e = get(0);
	f = get(1);
	if (!e || !f)
		return 0;
	if (is_of(timer, e))
		again = mode == SAME ? e : f;
	else if (is_of(timer, f))
		again = mode == SAME ? f : e;
	else
		return 0;
	__sync_fetch_and_add(&hits, 1);
	if (!bpf_timer_start(&again->timer, FAR, 0))
		__sync_fetch_and_add(&chain, 1);
	return 0;
}

/* H12, H14: the whole life of an element under the run queue's lock. */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch)
{
	struct elem zero = {}, *e;
	int key = bpf_get_smp_processor_id() & (ELEMS - 1);

	if (on != RQ_LOCK)
		return 0;
	__sync_fetch_and_add(&hits, 1);
	bpf_map_delete_elem(&locked_hash, &key);
	bpf_map_update_elem(&locked_hash, &key, &zero, BPF_ANY);
	e = bpf_map_lookup_elem(&locked_hash, &key);
	if (e && !up(&locked_hash, e, FAR) && !bpf_wq_init(&e->wq, &locked_hash, 0) &&
	    !bpf_wq_set_callback(&e->wq, wq_cb, 0) && !bpf_wq_start(&e->wq, 0))
		__sync_fetch_and_add(&frees, 1);
	e = get(key);
	if (e) {
		up(&locked, e, FAR);
		bpf_map_update_elem(&locked, &key, &zero, BPF_ANY);
	}
	return 0;
}

/* H13: free an element, with its last reference, inside call_rcu() and kin. */
SEC("fentry/rcu_segcblist_enqueue")
int BPF_PROG(in_call_rcu)
{
	struct elem zero = {}, *e;
	int key = bpf_get_smp_processor_id() & (ELEMS - 1);

	/* Once for each call from outside: what it frees calls call_rcu() too. */
	if (on != CALL_RCU || !budget)
		return 0;
	budget = 0;
	__sync_fetch_and_add(&hits, 1);
	e = get(key);
	if (e && !up(&locked, e, FAR)) {
		bpf_map_update_elem(&locked, &key, &zero, BPF_ANY);
		__sync_fetch_and_add(&frees, 1);
	}
	return 0;
}

/* H29: late on the CPU that goes away, with its IRQs off. */
SEC("tp_btf/cpuhp_exit")
int BPF_PROG(on_hotplug)
{
	unsigned long flags;
	struct elem *e;
	int err;

	if (on != DYING || bpf_get_smp_processor_id() != cpu_only)
		return 0;
	e = get(2);
	if (!e)
		return 0;
	__sync_fetch_and_add(&hits, 1);
	bpf_local_irq_save(&flags);
	err = bpf_timer_start(&e->timer, FAR, 0);
	bpf_local_irq_restore(&flags);
	if (!err)
		__sync_fetch_and_add(&queued, 1);
	return 0;
}
