// SPDX-License-Identifier: GPL-2.0
/*
 * Timers used from where the kernel holds locks: inside hrtimer_start(), under
 * the run queue's lock, inside call_rcu(), and on a CPU that is going away. Each
 * program does nothing until switched on; the loader attaches those whose name
 * begins as the test wants it.
 */
#include "async_common.h"
#include <bpf/bpf_core_read.h>

#define ELEMS	64	/* a power of two */
#define CPUS	64	/* the same */
#define ENOMEM	12
#define CHAIN_LIMIT	1000	/* a chain this long is called endless */

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

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

volatile u32 on;	/* which program is switched on */
volatile u32 cpu_only;	/* call_rcu(), a dying CPU: only what happens there */
volatile u32 budget;	/* one more free inside call_rcu() */
volatile u64 hits, chain, fired, frees;
volatile u64 refused, others;	/* under the run queue's lock: -ENOMEM, and any other error */
volatile u64 over_max, notified;	/* refused by memory.max; events that took locks */
volatile u64 object, nested, retired, freed;	/* of the object freed inside call_rcu() */
volatile u32 queued;	/* timers started while the CPU was offline */
volatile s32 last_ret;

/* Which CPU is inside of a program that runs with the IRQs off. */
static volatile u32 inside[CPUS];

/* The same in prog_tests/async_locks.c. */
enum { MODE_OFF, SAME, PAIR, RQ_LOCK, CALL_RCU, DYING, DRAIN };
#define FIRST_LATE	8	/* the timers from here on, one for each start of a dying CPU */
#define LATE		32

extern const void __cpu_online_mask __ksym;

static __always_inline volatile u32 *inside_here(void)
{
	return &inside[bpf_get_smp_processor_id() & (CPUS - 1)];
}

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
	last_ret = bpf_timer_start(&e->timer, on == DRAIN ? FAR : 1000, 0);
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

/* A timer whose callback is this program's, in the hash map. */
SEC("tc")
int start_hash(struct __sk_buff *skb)
{
	struct elem zero = {}, *e;
	int key = skb->mark & (ELEMS - 1);

	bpf_map_update_elem(&locked_hash, &key, &zero, BPF_ANY);
	e = bpf_map_lookup_elem(&locked_hash, &key);
	last_ret = e ? up(&locked_hash, e, FAR) : -2;
	return 0;
}

/* Every start of a timer of ours starts it, or the other one, again. */
SEC("raw_tp/hrtimer_start")
int start_again(struct bpf_raw_tracepoint_args *ctx)
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
	if (is_in(timer, object_of(&e->timer)))
		again = mode == SAME ? e : f;
	else if (is_in(timer, object_of(&f->timer)))
		again = mode == SAME ? f : e;
	else
		return 0;
	__sync_fetch_and_add(&hits, 1);
	if (!bpf_timer_start(&again->timer, FAR, 0))
		__sync_fetch_and_add(&chain, 1);
	return 0;
}

/* What a drain calls before it looks at the first timer starts both. ftrace leaves lib/ out. */
SEC("perf_event")
int drain_begins(struct bpf_perf_event_data *ctx)
{
	int i;

	if (on != DRAIN || bpf_get_smp_processor_id() != cpu_only || chain >= CHAIN_LIMIT)
		return 0;
	__sync_fetch_and_add(&hits, 1);
	for (i = 0; i < 2; i++) {
		struct elem *e = get(i);

		if (e && !bpf_timer_start(&e->timer, FAR, 0))
			__sync_fetch_and_add(&chain, 1);
	}
	return 0;
}

static __always_inline int whole_life(int key)
{
	struct elem zero = {}, *e;
	int err;

	bpf_map_delete_elem(&locked_hash, &key);
	/* Fails where another CPU has the bucket's lock for too long. */
	if (bpf_map_update_elem(&locked_hash, &key, &zero, BPF_ANY))
		return 0;
	e = bpf_map_lookup_elem(&locked_hash, &key);
	if (!e)
		return 0;
	err = up(&locked_hash, e, FAR);
	if (!err)
		err = bpf_wq_init(&e->wq, &locked_hash, 0);
	if (!err)
		err = bpf_wq_set_callback(&e->wq, wq_cb, 0);
	if (!err)
		err = bpf_wq_start(&e->wq, 0);
	if (!err)
		__sync_fetch_and_add(&frees, 1);
	return err;
}

/* How often a charge of the cgroup of these maps has met memory.max. */
static __always_inline u64 max_events(void)
{
	struct obj_cgroup *objcg = ((struct bpf_map *)&locked)->objcg;

	return objcg ? BPF_CORE_READ(objcg, memcg, memory_events[MEMCG_MAX].counter) : 0;
}

static __always_inline void count_error(int err, u64 events)
{
	if (err == -ENOMEM) {
		__sync_fetch_and_add(&refused, 1);
		if (max_events() > events)
			__sync_fetch_and_add(&over_max, 1);
	} else if (err) {
		__sync_fetch_and_add(&others, 1);
		last_ret = err;
	}
}

/* The whole life of an element under the run queue's lock. */
SEC("tp_btf/sched_switch")
int BPF_PROG(rq_switch)
{
	struct elem zero = {}, *e;
	int key = bpf_get_smp_processor_id() & (ELEMS - 1);
	u64 events;

	if (on != RQ_LOCK)
		return 0;
	events = max_events();
	__sync_fetch_and_add(&hits, 1);
	*inside_here() = 1;
	count_error(whole_life(key), events);
	events = max_events();
	e = get(key);
	if (e) {
		count_error(up(&locked, e, FAR), events);
		bpf_map_update_elem(&locked, &key, &zero, BPF_ANY);
	}
	*inside_here() = 0;
	return 0;
}

/* What an event does that may spin: it takes locks, and wakes who waits for it. */
SEC("fentry/cgroup_file_notify")
int BPF_PROG(rq_notified)
{
	if (*inside_here())
		__sync_fetch_and_add(&notified, 1);
	return 0;
}

/* Free an element, with its last reference, inside call_rcu() and kin. */
SEC("fentry/rcu_segcblist_enqueue")
int BPF_PROG(rcu_enqueue)
{
	struct elem zero = {}, *e;
	int key = bpf_get_smp_processor_id();

	if (on != CALL_RCU || key != cpu_only || !budget)
		return 0;
	budget = 0;
	__sync_fetch_and_add(&hits, 1);
	*inside_here() = 1;
	e = get(key);
	if (e) {
		object = object_of(&e->timer);
		bpf_map_update_elem(&locked, &key, &zero, BPF_ANY);
		__sync_fetch_and_add(&frees, 1);
	}
	*inside_here() = 0;
	return 0;
}

struct bpf_async_cb___c {
	struct callback_head rcu;
} __attribute__((preserve_access_index));

/* Of an object: its first field in Rust. */
static __always_inline u64 rcu_head_of(u64 object)
{
	if (bpf_core_field_exists(struct bpf_async_cb___c, rcu))
		object += bpf_core_field_offset(struct bpf_async_cb___c, rcu);
	return object;
}

/*
 * The same place again: another program, because one that is running is not
 * entered again. IRQs are off: what comes while the CPU is inside is nested.
 */
SEC("fentry/rcu_segcblist_enqueue")
int rcu_enqueue_again(u64 *ctx)
{
	u64 head = 0;

	if (on != CALL_RCU)
		return 0;
	bpf_get_func_arg(ctx, 1, &head);
	if (*inside_here())
		__sync_fetch_and_add(&nested, 1);
	else if (object && head == rcu_head_of(object))
		__sync_fetch_and_add(&retired, 1);
	return 0;
}

static __always_inline int see_free(u64 *ctx)
{
	u64 memory = 0;

	if (on != CALL_RCU || !object)
		return 0;
	bpf_get_func_arg(ctx, 0, &memory);
	if (memory == object) {
		object = 0;
		__sync_fetch_and_add(&freed, 1);
	}
	return 0;
}

SEC("fentry/kfree")
int rcu_free(u64 *ctx)
{
	return see_free(ctx);
}

/* This one in the C code. */
SEC("fentry/kfree_nolock")
int rcu_free_nolock(u64 *ctx)
{
	return see_free(ctx);
}

/*
 * On the CPU that goes away or comes back, while it is not online and none
 * of its irq_works can run. Each step starts a timer that nothing else started,
 * and the first on either way frees one that has the last reference to a program.
 * The ring buffer has an irq_work of its own, which is queued before that.
 * Not in a tracepoint: those are silent on a CPU that is not online.
 */
static __always_inline int step(int key)
{
	u32 cpu = bpf_get_smp_processor_id(), n = queued;
	u64 online = ~0ULL;
	unsigned long flags;
	struct elem *e;
	int err;

	if (on != DYING || cpu != cpu_only)
		return 0;
	bpf_probe_read_kernel(&online, sizeof(online), &__cpu_online_mask);
	if (online & (1ULL << (cpu & 63)))
		return 0;
	__sync_fetch_and_add(&hits, 1);
	bpf_ringbuf_output(&events, &n, sizeof(n), BPF_RB_FORCE_WAKEUP);
	e = get(FIRST_LATE + n);
	if (!e || n >= LATE)
		return 0;
	bpf_local_irq_save(&flags);
	err = bpf_timer_start(&e->timer, FAR, 0);
	bpf_map_delete_elem(&locked_hash, &key);
	bpf_local_irq_restore(&flags);
	if (err)
		last_ret = err;
	else
		queued = n + 1;
	return 0;
}

#define STEP_AT(function, key)						\
SEC("fentry/" #function)						\
int cpu_##function(void *ctx)						\
{									\
	return step(key);						\
}

/* On the way down, in this order: irq_works run for the last time in the third. */
STEP_AT(tick_cpu_dying, 0)
STEP_AT(hrtimers_cpu_dying, 0)
STEP_AT(smpcfd_dying_cpu, 0)
STEP_AT(rcutree_dying_cpu, 0)
STEP_AT(sched_cpu_dying, 0)
/* On the way up. */
STEP_AT(sched_cpu_starting, 1)
STEP_AT(hrtimers_cpu_starting, 1)
